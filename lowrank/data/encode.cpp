// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "lowrank/base/error.h"
#include "lowrank/data/batch.h"
#include "lowrank/data/random.h"

namespace lowrank::data {
namespace {

int64_t special_count(const Example& example, const BatchOptions& options) {
  if (!options.special_tokens) return 0;
  return example.pair.empty() ? 2 : 3;
}

// How many tokens of text a sequence has room for.
int64_t text_room(const Example& example, const BatchOptions& options) {
  const int64_t room = options.max_length - special_count(example, options);
  if (room < (example.pair.empty() ? 1 : 2)) {
    throw Error(fmt::format("max_length = {}; special tokens leave no room for text. Raise it.",
                            options.max_length));
  }
  return room;
}

[[noreturn]] void throw_too_long(const Example& example, int64_t of_texts,
                                 const BatchOptions& options) {
  const int64_t length = of_texts + special_count(example, options);
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

}  // namespace

EncodedExample encode(const Example& example, const text::Tokenizer& tokenizer,
                      const BatchOptions& options, uint64_t random_state) {
  std::vector<int64_t> first = tokenizer.encode(example.text);
  std::vector<int64_t> second = tokenizer.encode(example.pair);
  const bool is_pair = !example.pair.empty();
  const int64_t of_texts = std::ssize(first) + std::ssize(second);
  const int64_t room = text_room(example, options);
  if (of_texts == 0) {
    throw Error(fmt::format(
        "{}: the text is empty; a sequence has at least one token. Leave it out.", example.source));
  }
  if (of_texts > room) {
    if (options.on_overflow != "truncate") throw_too_long(example, of_texts, options);
    if (is_pair) {
      truncate_pair(first, second, room);
    } else {
      truncate(first, room, options.random_window, random_state);
    }
  }

  EncodedExample encoded{.tokens = {}, .segments = {}, .truncated = of_texts > room};
  std::vector<int64_t>& tokens = encoded.tokens;
  if (options.special_tokens) tokens.push_back(tokenizer.cls());
  tokens.insert(tokens.end(), first.begin(), first.end());
  if (options.special_tokens) tokens.push_back(tokenizer.separator());
  if (!is_pair) return encoded;
  encoded.segments.assign(tokens.size(), 0);
  tokens.insert(tokens.end(), second.begin(), second.end());
  if (options.special_tokens) tokens.push_back(tokenizer.separator());
  encoded.segments.resize(tokens.size(), 1);
  return encoded;
}

Dataset chunk(const Dataset& dataset, const text::Tokenizer& tokenizer,
              const BatchOptions& options) {
  Dataset chunked{.examples = {}, .classes = dataset.classes};
  for (const Example& example : dataset.examples) {
    const std::vector<int64_t> tokens = tokenizer.encode(example.text);
    const int64_t room = text_room(example, options);
    if (std::ssize(tokens) <= room || !example.pair.empty()) {
      chunked.examples.push_back(example);
      continue;
    }
    for (int64_t start = 0; start < std::ssize(tokens); start += room) {
      const auto size = static_cast<size_t>(std::min(room, std::ssize(tokens) - start));
      Example piece = example;
      piece.text = tokenizer.decode(std::span(tokens).subspan(static_cast<size_t>(start), size));
      chunked.examples.push_back(std::move(piece));
    }
  }
  return chunked;
}

}  // namespace lowrank::data
