// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/pieces.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "lowrank/models/derive.h"

namespace lowrank::serve {
namespace {

int64_t text_tokens(const text::Encoded& encoded) {
  return std::ssize(encoded.texts) -
         std::count(encoded.texts.begin(), encoded.texts.end(), text::Encoded::kTemplate);
}

constexpr int64_t kAnyNumber = std::numeric_limits<int64_t>::max() / 2;

std::string way_out(const PieceOptions& options) {
  const OptionWords& words = options.words;
  if (options.on_overflow == Overflow::kInterpolate) {
    return fmt::format("Raise {} where it is set, or use {} {}.", words.max_length,
                       words.on_overflow, words.offers_chunks ? "chunk" : "truncate");
  }
  return fmt::format(
      "Use {} {}.", words.on_overflow,
      words.offers_chunks ? "truncate, chunk or interpolate" : "truncate or interpolate");
}

// With as many positions as it takes; an attention made for one length does not grow.
int64_t longest_of_grown(models::ModelConfig config) {
  config.embeddings.max_positions = kAnyNumber;
  return models::longest_sequence(config);
}

}  // namespace

Overflow overflow_of(const std::string& name) {
  if (name == "error") return Overflow::kError;
  if (name == "truncate") return Overflow::kTruncate;
  if (name == "chunk") return Overflow::kChunk;
  if (name == "interpolate") return Overflow::kInterpolate;
  throw Error(fmt::format(
      "on_overflow = \"{}\"; it must be error, truncate, chunk or interpolate. Choose one of them.",
      name));
}

int64_t Pieces::tokens() const {
  int64_t sum = 0;
  for (const Piece& piece : pieces) sum += std::ssize(piece.encoded.ids);
  return sum;
}

PieceCutter::PieceCutter(const TextModel& model, const PieceOptions& options)
    : tokenizer_(model.tokenizer), options_(options), limit_(options.max_length) {
  const bool grows = options.on_overflow == Overflow::kInterpolate;
  const int64_t most = grows ? longest_of_grown(model.model->config()) : model.max_length;
  if (limit_ > most) {
    throw Error(fmt::format(
        "{} = {}; the model takes at most {}. Lower it{}.", options.words.max_length, limit_, most,
        grows ? "" : fmt::format(", or use {} interpolate", options.words.on_overflow)));
  }
  if (limit_ == 0 && most < kAnyNumber) limit_ = most;
  const int64_t special = options.special_tokens ? text::special_count(*tokenizer_, false) : 0;
  if (limit_ != 0 && limit_ <= special) {
    throw Error(fmt::format("{} = {}; special tokens take {} of it. Raise it.",
                            options.words.max_length, limit_, special));
  }
}

std::vector<text::Encoded> PieceCutter::encode(const TextInput& input) const {
  text::EncodeOptions encoding{.special_tokens = options_.special_tokens,
                               .truncation = options_.truncation};
  const bool cuts =
      options_.on_overflow == Overflow::kTruncate || options_.on_overflow == Overflow::kChunk;
  if (cuts) encoding.max_length = limit_;
  if (options_.on_overflow == Overflow::kChunk) {
    encoding.stride = options_.stride;
    return text::encode_windows(*tokenizer_, input.text, input.pair, encoding);
  }
  return {text::encode(*tokenizer_, input.text, input.pair, encoding)};
}

Pieces PieceCutter::cut(const TextInput& input) const {
  Pieces result{.source = input.source, .pieces = {}};
  for (text::Encoded& encoded : encode(input)) {
    const int64_t found = std::ssize(encoded.ids), weight = text_tokens(encoded);
    if (weight == 0) {
      throw Error(
          fmt::format("{} is empty; a text has at least one token. Leave it out.", input.source));
    }
    if (limit_ != 0 && found > limit_) {
      throw Error(fmt::format("{}: {} tokens; a sequence has at most {}. {}", input.source, found,
                              limit_, way_out(options_)));
    }
    const bool whole = options_.on_overflow == Overflow::kChunk;
    result.truncated |= encoded.truncated && !whole;
    result.pieces.push_back({.encoded = std::move(encoded), .weight = weight});
  }
  return result;
}

Pieces PieceCutter::cut_whole(const std::vector<TextInput>& inputs) const {
  Pieces all{.source = inputs.at(0).source, .pieces = {}};
  for (const TextInput& input : inputs) {
    Pieces cut_one = cut(input);
    all.truncated |= cut_one.truncated;
    all.pieces.push_back(std::move(cut_one.pieces.at(0)));
  }
  return all;
}

}  // namespace lowrank::serve
