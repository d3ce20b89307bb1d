// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "lowrank/base/error.h"
#include "lowrank/data/batch.h"
#include "lowrank/data/random.h"
#include "lowrank/text/encode.h"

namespace lowrank::data {
namespace {

int64_t special_count(const Example& example, const text::Tokenizer& tokenizer,
                      const BatchOptions& options) {
  return options.special_tokens ? text::special_count(tokenizer, !example.pair.empty()) : 0;
}

// How many tokens of text a sequence has room for.
int64_t text_room(const Example& example, const text::Tokenizer& tokenizer,
                  const BatchOptions& options) {
  const int64_t room = options.max_length - special_count(example, tokenizer, options);
  if (room < (example.pair.empty() ? 1 : 2)) {
    throw Error(fmt::format("max_length = {}; special tokens leave no room for text. Raise it.",
                            options.max_length));
  }
  return room;
}

[[noreturn]] void throw_too_long(const Example& example, const text::Tokenizer& tokenizer,
                                 int64_t of_texts, const BatchOptions& options) {
  const int64_t length = of_texts + special_count(example, tokenizer, options);
  throw Error(fmt::format(
      "{}: {} tokens; max_length = {}. Raise max_length, or set on_overflow = "
      "\"truncate\"{}.",
      example.source, length, options.max_length, example.pair.empty() ? " or \"chunk\"" : ""));
}

// Cuts the longer of two texts down first: to `room` tokens in all.
void truncate_pair(std::vector<int64_t>& first, std::vector<int64_t>& second, int64_t room) {
  const int64_t half = room / 2;
  const int64_t of_first = std::min(std::ssize(first), std::max(half, room - std::ssize(second)));
  const int64_t of_second = std::min(std::ssize(second), room - of_first);
  first.resize(static_cast<size_t>(of_first));
  second.resize(static_cast<size_t>(of_second));
}

// `room` tokens of a longer text: its beginning, or a window that starts anywhere.
void truncate(std::vector<int64_t>& tokens, int64_t room, double random_window,
              uint64_t random_state) {
  int64_t start = 0;
  if (random_state != 0) {
    Random random({random_state});
    const bool anywhere = random.uniform() < random_window;
    const auto starts = static_cast<uint64_t>(std::ssize(tokens) - room + 1);
    if (anywhere) start = static_cast<int64_t>(random.below(starts));
  }
  tokens.erase(tokens.begin(), tokens.begin() + start);
  tokens.resize(static_cast<size_t>(room));
}

// The text cut into consecutive pieces of at most `room` tokens each, a piece of a single token aside.
// Cuts are where tokens begin; a piece read alone may have more tokens than it had within the text (the
// rest of a word that was cut), and is made shorter then.
std::vector<std::string_view> pieces_of(std::string_view text, const text::Tokenizer& tokenizer,
                                        int64_t room) {
  const std::vector<text::Span> spans = tokenizer.encode_with_spans(text).spans;
  const int64_t count = std::ssize(spans);
  if (count <= room) return {text};
  const auto cut_at = [&](int64_t token) {
    return token >= count ? text.size()
                          : static_cast<size_t>(spans[static_cast<size_t>(token)].begin);
  };
  std::vector<std::string_view> pieces;
  size_t begin = 0;
  for (int64_t first = 0; first < count;) {
    int64_t last = std::min(first + room, count);
    const auto piece = [&] { return text.substr(begin, cut_at(last) - begin); };
    while (last > first + 1) {
      const int64_t excess = std::ssize(tokenizer.encode(piece())) - room;
      if (excess <= 0) break;
      last = std::max(first + 1, last - excess);
    }
    while (last < count && cut_at(last) == begin) ++last;  // tokens of one character stay together
    pieces.push_back(piece());
    begin = cut_at(last);
    first = last;
  }
  return pieces;
}

// For each token of a sequence the label of the word that it begins, else -100. A token's span may begin at
// the space before its word; one without a span belongs to none.
std::vector<int64_t> word_labels(const text::Encoded& encoded, const std::vector<Word>& words) {
  std::vector<int64_t> labels(encoded.ids.size(), kNoLoss);
  size_t word = 0;
  for (size_t i = 0; i < encoded.ids.size() && word < words.size(); ++i) {
    const text::Span& span = encoded.spans[i];
    if (encoded.texts[i] != 0 || span.begin == span.end) continue;
    while (word < words.size() && words[word].end <= span.begin) ++word;
    if (word == words.size() || span.end <= words[word].begin) continue;
    labels[i] = words[word++].label;
  }
  return labels;
}

}  // namespace

EncodedExample encode(const Example& example, const text::Tokenizer& tokenizer,
                      const BatchOptions& options, uint64_t random_state) {
  const bool has_words = !example.words.empty();
  text::Tokens first = has_words ? tokenizer.encode_with_spans(example.text)
                                 : text::Tokens{.ids = tokenizer.encode(example.text), .spans = {}};
  text::Tokens second{.ids = tokenizer.encode(example.pair), .spans = {}};
  const bool is_pair = !example.pair.empty();
  const int64_t of_texts = std::ssize(first.ids) + std::ssize(second.ids);
  const int64_t room = text_room(example, tokenizer, options);
  if (of_texts == 0) {
    throw Error(fmt::format(
        "{}: the text is empty; a sequence has at least one token. Leave it out.", example.source));
  }
  if (of_texts > room) {
    if (options.on_overflow != "truncate") throw_too_long(example, tokenizer, of_texts, options);
    if (is_pair) {
      truncate_pair(first.ids, second.ids, room);
    } else if (has_words) {
      first.ids.resize(static_cast<size_t>(room));
      first.spans.resize(static_cast<size_t>(room));
    } else {
      truncate(first.ids, room, options.random_window, random_state);
    }
  }

  text::Encoded encoded =
      text::assemble(tokenizer, first, is_pair ? &second : nullptr, options.special_tokens);
  std::vector<int64_t> labels;
  if (has_words) labels = word_labels(encoded, example.words);
  return {.tokens = std::move(encoded.ids),
          .segments = is_pair ? std::move(encoded.segments) : std::vector<int64_t>(),
          .labels = std::move(labels),
          .truncated = of_texts > room};
}

std::vector<EncodedExample> encode_sequences(const Example& example,
                                             const text::Tokenizer& tokenizer,
                                             const BatchOptions& options, uint64_t random_state) {
  if (!options.separate_pairs) return {encode(example, tokenizer, options, random_state)};
  if (example.pair.empty()) {
    throw Error(fmt::format(
        "{}: there is one text; a retrieval model compares two. Name the second in pair_column.",
        example.source));
  }
  std::vector<EncodedExample> sequences;
  for (const std::string* text : {&example.text, &example.pair}) {
    const Example alone{
        .text = *text, .pair = {}, .label = example.label, .source = example.source};
    sequences.push_back(encode(alone, tokenizer, options, random_state));
  }
  return sequences;
}

std::pair<std::string_view, std::string_view> halves(std::string_view text) {
  const size_t size = text.size(), middle = size / 2;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const auto is_space = [&](size_t i) {
    return byte(i) == ' ' || byte(i) == '\n' || byte(i) == '\t';
  };
  const auto ends_sentence = [&](size_t cut) {
    if (byte(cut - 1) == '\n') return true;
    return is_space(cut) && std::string_view(".!?").find(text[cut - 1]) != std::string_view::npos;
  };
  const auto begins_word = [&](size_t cut) { return is_space(cut); };
  const auto begins_character = [&](size_t cut) { return (byte(cut) & 0xC0) != 0x80; };
  // The cut nearest to the middle, at most `reach` from it.
  const auto nearest = [&](const auto& fits, size_t reach) -> size_t {
    for (size_t away = 0; away <= reach; ++away) {
      for (const size_t cut : {middle - std::min(away, middle), middle + away}) {
        if (cut > 0 && cut < size && fits(cut)) return cut;
      }
    }
    return 0;
  };
  size_t cut = nearest(ends_sentence, size / 4);
  if (cut == 0) cut = nearest(begins_word, size);
  if (cut == 0) cut = nearest(begins_character, size);
  if (cut == 0) return {text, {}};
  return {text.substr(0, cut), text.substr(cut)};
}

Dataset chunk(const Dataset& dataset, const text::Tokenizer& tokenizer,
              const BatchOptions& options) {
  Dataset chunked{.classes = dataset.classes, .label_kind = dataset.label_kind};
  for (const Example& example : dataset.examples) {
    const int64_t room = text_room(example, tokenizer, options);
    if (!example.pair.empty() || !example.words.empty()) {
      chunked.examples.push_back(example);
      continue;
    }
    for (const std::string_view text : pieces_of(example.text, tokenizer, room)) {
      Example piece = example;
      piece.text = text;
      chunked.examples.push_back(std::move(piece));
    }
  }
  return chunked;
}

Dataset pack(const Dataset& dataset, const text::Tokenizer& tokenizer,
             const BatchOptions& options) {
  constexpr size_t kEnough = 1 << 20;  // bytes; a text is tokenized as a whole to find where to cut
  Dataset joined{.examples = {}, .classes = {}};
  for (const Example& example : dataset.examples) {
    if (!example.pair.empty()) {
      throw Error(fmt::format("{}: a pair; packed sequences are of single texts. Leave packed out.",
                              example.source));
    }
    const bool begins = joined.examples.empty() || joined.examples.back().text.size() >= kEnough;
    if (begins) {
      joined.examples.push_back(
          {.text = example.text, .pair = {}, .label = -1, .source = example.source});
    } else {
      joined.examples.back().text += "\n\n" + example.text;
    }
  }
  return chunk(joined, tokenizer, options);
}

}  // namespace lowrank::data
