// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/pipeline_tokenizer.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "lowrank/base/error.h"
#include "lowrank/text/byte_level.h"
#include "lowrank/text/characters.h"
#include "lowrank/text/utf8.h"

namespace lowrank::text {
namespace {

using Part = SequenceTemplate::Part;

std::optional<int64_t> first_special(const std::vector<SequenceTemplate::Place>& places,
                                     bool after_text) {
  bool seen_text = false;
  for (const SequenceTemplate::Place& place : places) {
    if (place.part == Part::kFirst) {
      seen_text = true;
    } else if (place.part == Part::kSpecial && seen_text == after_text) {
      return place.id;
    }
  }
  return std::nullopt;
}

bool is_white(std::string_view text) {
  bool white = !text.empty();
  for_each_character(text, [&](const Character& c) { white = white && is_white_space(c.code); });
  return white;
}

}  // namespace

struct PipelineTokenizer::Output {
  std::vector<int64_t>& ids;
  std::vector<Span>* spans;  // null where nobody asks
  WordCache& cache;
  std::vector<Piece> pieces = {};  // of one word or chunk, while it is made

  void add(int64_t id, int64_t begin, int64_t end) {
    ids.push_back(id);
    if (spans != nullptr) spans->push_back({begin, end});
  }
  // Pieces of a chunk that begins at byte `offset`.
  void add(std::span<const Piece> all, int64_t offset) {
    for (const Piece& piece : all) add(piece.id, offset + piece.begin, offset + piece.end);
  }
};

PipelineTokenizer::PipelineTokenizer(const CheckedJson& json, const RoleNames& names,
                                     std::optional<int64_t> max_length)
    : max_length_(max_length) {
  if (const auto normalizer = json.find("normalizer")) normalizer_ = make_normalizer(*normalizer);
  if (const auto splitter = json.find("pre_tokenizer")) {
    pre_tokenizer_ = make_pre_tokenizer(*splitter);
    byte_level_ = pre_tokenizer_->is_byte_level();
  }
  model_ = make_piece_model(json.at("model"), byte_level_);
  if (const auto decoder = json.find("decoder")) decoder_ = make_piece_decoder(*decoder);
  vocabulary_ = model_->vocabulary().size();
  if (const auto added = json.find("added_tokens")) read_added_tokens(*added);
  if (const auto post = json.find("post_processor")) {
    post_processor_ = make_post_processor(*post);
    check_template(*post);
  }
  set_roles(names);
  choose_cut();
}

void PipelineTokenizer::read_added_tokens(const CheckedJson& json) {
  std::vector<AddedToken> in_text, in_normalized;
  for (const CheckedJson& item : json.items()) {
    AddedToken token;
    token.content = item.at("content").text();
    token.id = item.at("id").whole(0, Vocabulary::kMostIds - 1);
    token.special = item.flag_or("special", false);
    token.single_word = item.flag_or("single_word", false);
    token.lstrip = item.flag_or("lstrip", false);
    token.rstrip = item.flag_or("rstrip", false);
    token.normalized = item.flag_or("normalized", !token.special);
    const Vocabulary& pieces = model_->vocabulary();
    const bool id_is_taken = pieces.has(token.id) && pieces.piece(token.id) != token.content;
    if (id_is_taken || pieces.id(token.content).value_or(token.id) != token.id) {
      item.fail(fmt::format(
          "the added token \"{}\" has the id {}; the model's vocabulary says otherwise. "
          "Mend the file.",
          token.content, token.id));
    }
    if (!added_by_id_.emplace(token.id, added_.size()).second ||
        !added_by_content_.emplace(token.content, added_.size()).second) {
      item.fail(fmt::format("the added token \"{}\" or its id {} is there twice. Mend the file.",
                            token.content, token.id));
    }
    vocabulary_ = std::max(vocabulary_, token.id + 1);
    added_.push_back(token);
    if (token.normalized && normalizer_) {
      AlignedText content(token.content);
      normalizer_->apply(content);
      token.content = content.text();
    }
    added_texts_.push_back(token.content);
    (token.normalized ? in_normalized : in_text).push_back(std::move(token));
  }
  in_text_ = AddedTokenFinder(std::move(in_text));
  in_normalized_ = AddedTokenFinder(std::move(in_normalized));
}

void PipelineTokenizer::check_template(const CheckedJson& json) const {
  for (const auto* places : {&post_processor_.sequence.single, &post_processor_.sequence.pair}) {
    for (const SequenceTemplate::Place& place : *places) {
      if (place.part != Part::kSpecial || (place.id < vocabulary_ && !token(place.id).empty())) {
        continue;
      }
      json.fail(fmt::format("the id {} of a special token is not in the vocabulary. Mend the file.",
                            place.id));
    }
  }
}

void PipelineTokenizer::set_roles(const RoleNames& names) {
  const auto named = [&](const std::optional<std::string>& name) -> std::optional<int64_t> {
    return name ? id(*name) : std::nullopt;
  };
  const auto either = [](std::optional<int64_t> a, std::optional<int64_t> b) { return a ? a : b; };
  const auto& single = post_processor_.sequence.single;
  cls_ = either(named(names.cls), first_special(single, /*after_text=*/false));
  separator_ = either(named(names.separator), first_special(single, /*after_text=*/true));
  mask_ = either(named(names.mask), either(id("[MASK]"), id("<mask>")));
  pad_ = either(named(names.pad), either(id("[PAD]"), id("<pad>")));
  unknown_ = either(model_->unknown(), named(names.unknown));
}

void PipelineTokenizer::choose_cut() {
  if (!pre_tokenizer_ || (normalizer_ && !in_normalized_.empty())) return;
  if (!normalizer_ && pre_tokenizer_->is_byte_level_pattern()) {
    cut_ = Cut::kByteLevelPattern;
    return;
  }
  if (!pre_tokenizer_->splits_at_spaces()) return;
  if (normalizer_ && !normalizer_->treats_words_alone()) return;
  cut_ = Cut::kAtSpaces;
  for (const char space : {' ', '\t', '\n'}) {
    AlignedText text(std::string_view(&space, 1));
    if (normalizer_) normalizer_->apply(text);
    if (is_white(text.text())) ascii_[static_cast<unsigned char>(space)] = Ascii::kSeparator;
  }
  if (!pre_tokenizer_->isolates_punctuation()) return;
  if (normalizer_ && !normalizer_->treats_punctuation_alone()) return;
  for (size_t c = '!'; c <= '~'; ++c) {
    if (u_isalnum(static_cast<UChar32>(c)) == 0) ascii_[c] = Ascii::kPunctuation;
  }
}

bool PipelineTokenizer::is_marked_special(int64_t id) const {
  const auto found = added_by_id_.find(id);
  return found != added_by_id_.end() && added_[found->second].special;
}

bool PipelineTokenizer::is_special(int64_t id) const {
  return is_marked_special(id) || id == cls_ || id == separator_ || id == mask_ || id == pad_;
}

std::string PipelineTokenizer::token(int64_t id) const {
  if (id < 0 || id >= vocabulary_) {
    throw Error(
        fmt::format("tokenizer: id = {}; an id is from 0 to {}. Decode with the tokenizer that "
                    "encoded.",
                    id, vocabulary_ - 1));
  }
  const auto added = added_by_id_.find(id);
  if (added != added_by_id_.end()) return added_[added->second].content;
  return model_->vocabulary().has(id) ? model_->vocabulary().piece(id) : "";
}

std::optional<int64_t> PipelineTokenizer::id(std::string_view token) const {
  const auto added = added_by_content_.find(std::string(token));
  if (added != added_by_content_.end()) return added_[added->second].id;
  return model_->vocabulary().id(token);
}

std::vector<int64_t> PipelineTokenizer::encode(std::string_view text) const {
  std::vector<int64_t> ids;
  const WordCaches::Loan cache(caches_);
  Output output{.ids = ids, .spans = nullptr, .cache = *cache};
  if (byte_level_ || !find_invalid_utf8(text)) {
    encode_text(text, output);
  } else {
    encode_text(well_formed(text).text(), output);
  }
  return ids;
}

Tokens PipelineTokenizer::encode_with_spans(std::string_view text) const {
  Tokens tokens;
  const WordCaches::Loan cache(caches_);
  Output output{.ids = tokens.ids, .spans = &tokens.spans, .cache = *cache};
  if (byte_level_ || !find_invalid_utf8(text)) {
    encode_text(text, output);
    return tokens;
  }
  const AlignedText mended = well_formed(text);
  encode_text(mended.text(), output);
  for (Span& span : tokens.spans) {
    span = mended.origin(static_cast<size_t>(span.begin), static_cast<size_t>(span.end));
  }
  return tokens;
}

void PipelineTokenizer::encode_text(std::string_view text, Output& output) const {
  if (text.size() > std::numeric_limits<uint32_t>::max()) {
    throw Error(fmt::format("tokenizer: a text has {} bytes; 4,294,967,295 are the most. Cut it.",
                            text.size()));
  }
  std::vector<Found> found;
  in_text_.find(text, found);
  for (const auto& [range, id] : found) {
    const auto begin = static_cast<int64_t>(range.begin);
    if (id >= 0) {
      output.add(id, begin, static_cast<int64_t>(range.end));
    } else {
      encode_part(text.substr(range.begin, range.end - range.begin), begin, output);
    }
  }
}

// A text between two added tokens of the first kind, which begins at byte `offset`.
void PipelineTokenizer::encode_part(std::string_view text, int64_t offset, Output& output) const {
  if (cut_ == Cut::kNowhere) return encode_whole(text, offset, output);
  std::vector<Found> found;
  in_normalized_.find(text, found);  // it is normalized as it stands, or there are none
  for (const auto& [range, id] : found) {
    const int64_t begin = offset + static_cast<int64_t>(range.begin);
    const std::string_view part = text.substr(range.begin, range.end - range.begin);
    if (id >= 0) {
      output.add(id, begin, begin + std::ssize(part));
    } else if (cut_ == Cut::kAtSpaces) {
      encode_words(part, begin, output);
    } else {
      encode_by_pattern(part, begin, output);
    }
  }
}

// Whether a space and its neighbors may count as one character somewhere: then it separates nothing.
bool PipelineTokenizer::joins(std::string_view text, size_t separator) const {
  const auto is_ascii = [&](size_t at) { return static_cast<unsigned char>(text[at]) < 0x80; };
  const auto cluster_break = [](UChar32 code) {
    return u_getIntPropertyValue(code, UCHAR_GRAPHEME_CLUSTER_BREAK);
  };
  if (separator > 0 && !is_ascii(separator - 1) &&
      cluster_break(character_before(text, separator).code) == U_GCB_PREPEND) {
    return true;
  }
  if (separator > 0 && text[separator - 1] == '\r') return true;
  const size_t next = separator + 1;
  if (next == text.size() || is_ascii(next)) return false;
  const int32_t after = cluster_break(character_at(text, next).code);
  return after == U_GCB_EXTEND || after == U_GCB_SPACING_MARK || after == U_GCB_ZWJ;
}

void PipelineTokenizer::encode_words(std::string_view text, int64_t offset, Output& output) const {
  size_t begin = 0;
  const auto chunk_up_to = [&](size_t end) {
    if (begin < end) {
      encode_chunk(text.substr(begin, end - begin), offset + static_cast<int64_t>(begin), output);
    }
  };
  for (size_t at = 0; at < text.size(); ++at) {
    const Ascii kind = ascii_[static_cast<unsigned char>(text[at])];
    if (kind == Ascii::kPlain) continue;
    if (kind == Ascii::kSeparator && joins(text, at)) continue;
    chunk_up_to(at);
    begin = at;
    if (kind == Ascii::kPunctuation) chunk_up_to(at + 1);
    begin = at + 1;
  }
  chunk_up_to(text.size());
}

void PipelineTokenizer::encode_chunk(std::string_view chunk, int64_t offset, Output& output) const {
  if (const auto known = output.cache.find(chunk)) return output.add(*known, offset);
  AlignedText text(chunk);
  if (normalizer_) normalizer_->apply(text);
  std::vector<AlignedText> words;
  if (!text.empty()) words.push_back(std::move(text));
  pre_tokenizer_->split(words);
  output.pieces.clear();
  for (const AlignedText& word : words) {
    if (word.empty()) continue;
    const size_t before = output.pieces.size();
    model_->spell(word.text(), output.pieces);
    for (size_t i = before; i < output.pieces.size(); ++i) {
      const Span span = word.origin(output.pieces[i].begin, output.pieces[i].end);
      output.pieces[i].begin = static_cast<uint32_t>(span.begin);
      output.pieces[i].end = static_cast<uint32_t>(span.end);
    }
  }
  output.cache.add(chunk, output.pieces);
  output.add(output.pieces, offset);
}

void PipelineTokenizer::spell_cached(std::string_view word, Output& output) const {
  output.pieces.clear();
  if (const auto known = output.cache.find(word)) {
    output.pieces.assign(known->begin(), known->end());
    return;
  }
  model_->spell(word, output.pieces);
  output.cache.add(word, output.pieces);
}

void PipelineTokenizer::encode_by_pattern(std::string_view text, int64_t offset,
                                          Output& output) const {
  std::string with_space;
  if (pre_tokenizer_->adds_prefix_space() && !text.starts_with(' ')) {
    with_space.reserve(text.size() + 1);
    with_space += ' ';
    with_space += text;
    text = with_space;
  }
  const int64_t added = with_space.empty() ? 0 : 1;
  for (size_t at = 0; at < text.size();) {
    const size_t end = byte_level_word_end(text, at);
    const std::string_view word = text.substr(at, end - at);
    auto known = output.cache.find(word);
    if (!known) {
      spell_cached(word, output);
      known = output.pieces;
    }
    const int64_t begin = static_cast<int64_t>(at) - added;  // -1 where the space was added
    for (const Piece& piece : *known) {
      output.add(piece.id, offset + std::max<int64_t>(0, begin + piece.begin),
                 offset + begin + piece.end);
    }
    at = end;
  }
}

void PipelineTokenizer::encode_whole(std::string_view text, int64_t offset, Output& output) const {
  AlignedText normalized(text, offset);
  if (normalizer_) normalizer_->apply(normalized);
  std::vector<Found> found;
  in_normalized_.find(normalized.text(), found);
  for (const auto& [range, id] : found) {
    if (id >= 0) {
      const Span span = normalized.origin(range.begin, range.end);
      output.add(id, span.begin, span.end);
      continue;
    }
    std::vector<AlignedText> words = {normalized.part(range.begin, range.end)};
    if (pre_tokenizer_) pre_tokenizer_->split(words);
    for (const AlignedText& word : words) {
      if (word.empty()) continue;
      spell_cached(word.text(), output);
      for (const Piece& piece : output.pieces) {
        const Span span = word.origin(piece.begin, piece.end);
        output.add(piece.id, span.begin, span.end);
      }
    }
  }
}

std::string PipelineTokenizer::decode(std::span<const int64_t> ids, bool skip_special) const {
  std::vector<std::string> pieces;
  for (const int64_t id : ids) {
    const auto added = added_by_id_.find(id);
    std::string piece = added == added_by_id_.end() ? token(id) : added_texts_[added->second];
    if (piece.empty() || (skip_special && is_marked_special(id))) continue;
    pieces.push_back(std::move(piece));
  }
  std::string text;
  if (!decoder_) {
    for (const std::string& piece : pieces) text += (text.empty() ? "" : " ") + piece;
    return text;
  }
  decoder_->apply(pieces);
  for (const std::string& piece : pieces) text += piece;
  return text;
}

}  // namespace lowrank::text
