// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/fill.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

namespace lowrank::serve {
namespace {

int64_t mask_of(const TextModel& model) {
  if (const auto mask = model.tokenizer->mask()) return *mask;
  throw Error(
      fmt::format("{}: its tokenizer has no mask token, which blanks are written as. Use a model "
                  "whose tokenizer has one.",
                  model.folder.string()));
}

// A tokenizer that finds the name of its mask in a text.
class NamedMask final : public text::Tokenizer {
 public:
  NamedMask(std::shared_ptr<const text::Tokenizer> inner, int64_t mask)
      : inner_(std::move(inner)), mask_(mask), name_(inner_->token(mask)) {}

  std::string kind() const override { return inner_->kind(); }
  int64_t vocabulary() const override { return inner_->vocabulary(); }
  std::optional<int64_t> cls() const override { return inner_->cls(); }
  std::optional<int64_t> separator() const override { return inner_->separator(); }
  std::optional<int64_t> mask() const override { return mask_; }
  std::optional<int64_t> pad() const override { return inner_->pad(); }
  std::optional<int64_t> unknown() const override { return inner_->unknown(); }
  bool is_special(int64_t id) const override { return inner_->is_special(id); }
  const text::SequenceTemplate& sequence_template() const override {
    return inner_->sequence_template();
  }
  bool trims_spans() const override { return inner_->trims_spans(); }
  std::string token(int64_t id) const override { return inner_->token(id); }
  std::optional<int64_t> id(std::string_view token) const override { return inner_->id(token); }
  std::vector<int64_t> encode(std::string_view text) const override {
    return encode_with_spans(text).ids;
  }
  std::string decode(std::span<const int64_t> ids, bool skip_special) const override {
    return inner_->decode(ids, skip_special);
  }

  text::Tokens encode_with_spans(std::string_view text) const override {
    text::Tokens tokens;
    for (size_t begin = 0; begin <= text.size();) {
      const size_t found = std::min(text.find(name_, begin), text.size());
      append(tokens, inner_->encode_with_spans(text.substr(begin, found - begin)), begin);
      if (found == text.size()) break;
      begin = found + name_.size();
      tokens.ids.push_back(mask_);
      tokens.spans.push_back({static_cast<int64_t>(found), static_cast<int64_t>(begin)});
    }
    return tokens;
  }

 private:
  static void append(text::Tokens& tokens, const text::Tokens& more, size_t begin) {
    const auto shift = static_cast<int64_t>(begin);
    tokens.ids.insert(tokens.ids.end(), more.ids.begin(), more.ids.end());
    for (const text::Span& span : more.spans) {
      tokens.spans.push_back({shift + span.begin, shift + span.end});
    }
  }

  std::shared_ptr<const text::Tokenizer> inner_;
  int64_t mask_;
  std::string name_;
};

bool finds_names(const text::Tokenizer& tokenizer, const std::string& name, int64_t mask) {
  const std::vector<int64_t> ids = tokenizer.encode(name);
  return std::find(ids.begin(), ids.end(), mask) != ids.end();
}

bool is_space(char c) { return std::isspace(static_cast<unsigned char>(c)) != 0; }

// What a token adds to a text that ends in token `before`: " word", or "s" of "##s".
std::string spelled_after(const text::Tokenizer& tokenizer, int64_t before, int64_t id) {
  const std::string alone = tokenizer.decode(std::array{before});
  const std::string both = tokenizer.decode(std::array{before, id});
  return both.starts_with(alone) ? both.substr(alone.size()) : tokenizer.decode(std::array{id});
}

// Puts words into one blank of a text.
class Filler {
 public:
  Filler(const text::Tokenizer& tokenizer, const std::string& text, const text::Encoded& sequence,
         size_t at)
      : tokenizer_(tokenizer), text_(text), begin_(sequence.spans[at].begin), gap_(begin_) {
    rest_ = text.substr(static_cast<size_t>(sequence.spans[at].end));
    // The span of RoBERTa's mask holds the space before it.
    while (begin_ < sequence.spans[at].end && is_space(text[static_cast<size_t>(begin_)])) ++begin_;
    if (at == 0 || sequence.texts[at - 1] == text::Encoded::kTemplate) return;
    before_ = sequence.ids[at - 1];
    gap_ = std::min(sequence.spans[at - 1].end, gap_);
  }

  Guess guess(int64_t id, double probability) const {
    std::string word =
        before_ ? spelled_after(tokenizer_, *before_, id) : tokenizer_.decode(std::array{id});
    // Spaces that belong to no token stay as they are, unless the word goes on with the one before.
    const bool spaced = gap_ < begin_ || !before_;
    const bool starts = word.starts_with(' ');
    const int64_t kept = spaced && before_ && !starts ? gap_ : begin_;
    if (spaced && starts) word.erase(0, 1);
    return {.id = id,
            .token = tokenizer_.token(id),
            .word = word,
            .probability = probability,
            .text = text_.substr(0, static_cast<size_t>(kept)) + word + rest_};
  }

 private:
  const text::Tokenizer& tokenizer_;
  const std::string& text_;
  std::string rest_;  // after the blank
  int64_t begin_;     // of the blank
  int64_t gap_;       // where the spaces before it begin
  std::optional<int64_t> before_;
};

std::vector<Guess> best_guesses(const at::Tensor& logits, const Filler& filler, int64_t vocabulary,
                                int64_t top) {
  // A model may have more rows than its tokenizer has tokens; nothing spells those.
  const at::Tensor probabilities = logits.softmax(0).slice(0, 0, vocabulary);
  const auto [values, ids] = probabilities.topk(std::min(top, probabilities.size(0)), 0);
  std::vector<Guess> guesses;
  for (int64_t i = 0; i < ids.numel(); ++i) {
    guesses.push_back(filler.guess(ids[i].item<int64_t>(), values[i].item<double>()));
  }
  return guesses;
}

std::vector<Blank> fill_one(const TextModel& model, const Reading& reading, const at::Tensor& rows,
                            int64_t top) {
  const text::Encoded& sequence = reading.pieces.pieces.at(0).encoded;
  std::vector<int64_t> places;
  for (size_t at = 0; at < sequence.ids.size(); ++at) {
    if (sequence.ids[at] == model.tokenizer->mask()) places.push_back(static_cast<int64_t>(at));
  }
  // The output layer is the largest by far: blanks alone go through it.
  const at::Tensor logits =
      logits_of_rows(model, rows.index_select(0, at::tensor(places, at::kLong)));
  std::vector<Blank> blanks;
  for (size_t i = 0; i < places.size(); ++i) {
    const auto at = static_cast<size_t>(places[i]);
    const Filler filler(*model.tokenizer, reading.input.text, sequence, at);
    blanks.push_back({.bytes = sequence.spans[at],
                      .guesses = best_guesses(logits[static_cast<int64_t>(i)], filler,
                                              model.tokenizer->vocabulary(), top)});
  }
  return blanks;
}

}  // namespace

Reading read_blanks(const TextModel& model, const TextInput& input, const PieceOptions& options) {
  if (options.on_overflow == Overflow::kChunk) {
    throw Error(fmt::format(
        "{} = chunk; a blank is guessed from all of its text. Use error, truncate or interpolate.",
        options.words.on_overflow));
  }
  const int64_t mask = mask_of(model);
  const std::string name = model.tokenizer->token(mask);
  if (input.text.find(name) == std::string::npos) {
    throw Error(fmt::format(
        "{0}: there is no {1} in it; fill guesses the words that stand there. Write {1} "
        "where a word is missing.",
        input.source, name));
  }
  if (finds_names(*model.tokenizer, name, mask)) return read(model, input, options);
  TextModel naming = model;
  naming.tokenizer = std::make_shared<NamedMask>(model.tokenizer, mask);
  return read(naming, input, options);
}

std::vector<std::vector<Blank>> fill(const TextModel& model, const std::vector<Reading>& readings,
                                     int64_t top, const RunOptions& options) {
  require_task(model, models::Task::kMaskedLanguageModel);
  mask_of(model);
  const auto rows = rows_of(model, readings, options);
  std::vector<std::vector<Blank>> filled;
  for (size_t i = 0; i < readings.size(); ++i) {
    filled.push_back(fill_one(model, readings[i], rows[i].at(0), top));
  }
  return filled;
}

}  // namespace lowrank::serve
