// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/encode.h"

#include <fmt/format.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "lowrank/base/error.h"

namespace lowrank::text {
namespace {

using Part = SequenceTemplate::Part;

const std::vector<SequenceTemplate::Place>& places(const Tokenizer& tokenizer, bool is_pair) {
  const SequenceTemplate& sequence = tokenizer.sequence_template();
  return is_pair ? sequence.pair : sequence.single;
}

void trim(std::vector<Span>& spans, std::string_view text) {
  const auto is_space = [&](int64_t at) { return text[static_cast<size_t>(at)] == ' '; };
  for (Span& span : spans) {
    while (span.begin < span.end && is_space(span.begin)) ++span.begin;
    while (span.end > span.begin && is_space(span.end - 1)) --span.end;
  }
}

Tokens encode_one(const Tokenizer& tokenizer, std::string_view text) {
  Tokens tokens = tokenizer.encode_with_spans(text);
  if (tokenizer.trims_spans()) trim(tokens.spans, text);
  return tokens;
}

Tokens part_of(const Tokens& tokens, int64_t begin, int64_t end) {
  return {.ids = {tokens.ids.begin() + begin, tokens.ids.begin() + end},
          .spans = {tokens.spans.begin() + begin, tokens.spans.begin() + end}};
}

// The windows of `room` tokens that together hold all of them; one, as it is, where they fit.
std::vector<Tokens> windows_of(Tokens tokens, int64_t room, int64_t stride) {
  const int64_t count = std::ssize(tokens.ids);
  std::vector<Tokens> windows;
  if (count <= room) {
    windows.push_back(std::move(tokens));
    return windows;
  }
  if (room == 0) {
    windows.emplace_back();
    windows.push_back(std::move(tokens));
    return windows;
  }
  if (stride >= room) {
    throw Error(
        fmt::format("stride = {}; windows have room for {} tokens of text, and a stride is "
                    "less. Lower stride or raise max_length.",
                    stride, room));
  }
  for (int64_t start = 0;; start += room - stride) {
    const int64_t end = std::min(start + room, count);
    windows.push_back(part_of(tokens, start, end));
    if (end == count) return windows;
  }
}

// The most tokens of each text of a pair under kLongestFirst.
std::pair<int64_t, int64_t> shares(int64_t first, int64_t second, int64_t room) {
  int64_t shorter = std::min(first, second), longer = std::max(first, second);
  longer = shorter > room ? shorter : std::max(shorter, room - shorter);
  if (shorter + longer > room) {
    shorter = room / 2;
    longer = shorter + room % 2;
  }
  return first > second ? std::pair(longer, shorter) : std::pair(shorter, longer);
}

// How many tokens of each text stay.
std::pair<int64_t, int64_t> rooms(int64_t first, int64_t second, bool is_pair, int64_t room,
                                  Truncation truncation) {
  const int64_t excess = first + second - room;
  if (excess <= 0) return {first, second};
  if (room == 0) return {0, 0};
  if (truncation == Truncation::kLongestFirst) {
    return is_pair ? shares(first, second, room) : std::pair(room, int64_t{0});
  }
  const bool cuts_first = truncation == Truncation::kOnlyFirst;
  if (!cuts_first && !is_pair) {
    throw Error(
        "truncation = only_second; there is no second text to cut. Use longest_first or "
        "only_first.");
  }
  int64_t& target = cuts_first ? first : second;
  if (target <= excess) {
    throw Error(
        fmt::format("truncation = {}; that text has {} tokens, and {} are too many. Use "
                    "longest_first, or raise max_length.",
                    cuts_first ? "only_first" : "only_second", target, excess));
  }
  target -= excess;
  return {first, second};
}

void check(const EncodeOptions& options) {
  if (options.max_length < 0 || options.stride < 0) {
    throw Error(
        fmt::format("max_length = {}, stride = {}; each is 0 or more. Raise the negative one.",
                    options.max_length, options.stride));
  }
}

void append(Encoded& encoded, const Tokens& tokens, int64_t segment, int8_t text) {
  encoded.ids.insert(encoded.ids.end(), tokens.ids.begin(), tokens.ids.end());
  encoded.spans.insert(encoded.spans.end(), tokens.spans.begin(), tokens.spans.end());
  encoded.spans.resize(encoded.ids.size());
  encoded.segments.resize(encoded.ids.size(), segment);
  encoded.texts.resize(encoded.ids.size(), text);
}

}  // namespace

int64_t special_count(const Tokenizer& tokenizer, bool is_pair) {
  const auto& all = places(tokenizer, is_pair);
  return std::count_if(all.begin(), all.end(),
                       [](const auto& place) { return place.part == Part::kSpecial; });
}

Encoded assemble(const Tokenizer& tokenizer, const Tokens& first, const Tokens* second,
                 bool special_tokens) {
  Encoded encoded;
  for (const SequenceTemplate::Place& place : places(tokenizer, second != nullptr)) {
    if (place.part == Part::kFirst) {
      append(encoded, first, place.segment, 0);
    } else if (place.part == Part::kSecond) {
      append(encoded, *second, place.segment, 1);
    } else if (special_tokens) {
      append(encoded, {.ids = {place.id}, .spans = {Span{}}}, place.segment, Encoded::kTemplate);
    }
  }
  return encoded;
}

std::vector<Encoded> encode_windows(const Tokenizer& tokenizer, std::string_view text,
                                    std::optional<std::string_view> pair,
                                    const EncodeOptions& options) {
  check(options);
  Tokens first = encode_one(tokenizer, text);
  Tokens second = pair ? encode_one(tokenizer, *pair) : Tokens{};
  int64_t of_first = std::ssize(first.ids), of_second = std::ssize(second.ids);
  const int64_t of_texts = of_first + of_second;
  if (options.max_length > 0) {
    const int64_t special = options.special_tokens ? special_count(tokenizer, pair.has_value()) : 0;
    const int64_t room = options.max_length - special;
    if (room < 0) {
      throw Error(fmt::format("max_length = {}; the special tokens alone are {}. Raise max_length.",
                              options.max_length, special));
    }
    std::tie(of_first, of_second) =
        rooms(of_first, of_second, pair.has_value(), room, options.truncation);
  }
  const bool truncated = of_first + of_second < of_texts;

  const std::vector<Tokens> firsts = windows_of(std::move(first), of_first, options.stride);
  const std::vector<Tokens> seconds = windows_of(std::move(second), of_second, options.stride);
  std::vector<Encoded> encoded;
  const auto add = [&](const Tokens& a, const Tokens& b) {
    encoded.push_back(assemble(tokenizer, a, pair ? &b : nullptr, options.special_tokens));
    encoded.back().truncated = truncated;
  };
  add(firsts[0], seconds[0]);
  for (size_t i = 1; i < firsts.size(); ++i) {
    for (const Tokens& b : seconds) add(firsts[i], b);
  }
  for (size_t j = 1; j < seconds.size(); ++j) add(firsts[0], seconds[j]);
  return encoded;
}

Encoded encode(const Tokenizer& tokenizer, std::string_view text,
               std::optional<std::string_view> pair, const EncodeOptions& options) {
  EncodeOptions one_window = options;
  one_window.stride = 0;
  return std::move(encode_windows(tokenizer, text, pair, one_window).front());
}

Encoded encode(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options) {
  return encode(tokenizer, text, std::nullopt, options);
}

}  // namespace lowrank::text
