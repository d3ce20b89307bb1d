// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "lowrank/text/tokenizer.h"

namespace lowrank::text {

// Which of two texts gives way where both together are too long.
enum class Truncation { kLongestFirst, kOnlyFirst, kOnlySecond };

struct EncodeOptions {
  bool special_tokens = true;  // as the tokenizer's template says
  int64_t max_length = 0;      // the most tokens, special ones included; 0: no limit
  Truncation truncation = Truncation::kLongestFirst;
  int64_t stride = 0;  // tokens that a window shares with the one before it
};

// A sequence as a model reads it; the vectors have one entry a token.
struct Encoded {
  static constexpr int8_t kTemplate = -1;

  std::vector<int64_t> ids;
  std::vector<int64_t> segments;  // the template's token types
  std::vector<Span> spans;        // of the token's own text; empty for tokens of the template
  std::vector<int8_t> texts;      // 0 the first text, 1 the second, kTemplate neither
  bool truncated = false;         // the texts have more tokens than these
};

// One text, or the texts of a pair, with special tokens around them. Beyond max_length the sequence
// is cut at its end, by `truncation`:
//
//   kLongestFirst   the longer text of a pair first; from there on both alike
//   kOnlyFirst      the first text alone gives way, one token of it stays
//   kOnlySecond     the second text alone
//
// Throws Error where that cannot give max_length: the text that must give way is too short, there is
// no second text, or the special tokens alone are more.
Encoded encode(const Tokenizer& tokenizer, std::string_view text,
               const EncodeOptions& options = {});
Encoded encode(const Tokenizer& tokenizer, std::string_view text,
               std::optional<std::string_view> pair, const EncodeOptions& options = {});

// All of it: encode()'s sequence and then what was cut, in windows of at most max_length tokens, each
// sharing `stride` tokens of text with the one before it. Where both texts of a pair were cut, every
// window of the first meets every window of the second. Throws Error as encode() does, and unless
// stride is less than the room that the special tokens leave.
std::vector<Encoded> encode_windows(const Tokenizer& tokenizer, std::string_view text,
                                    std::optional<std::string_view> pair,
                                    const EncodeOptions& options);

// How many special tokens the template adds.
int64_t special_count(const Tokenizer& tokenizer, bool is_pair);

// The template filled with tokens that are there already; `second` is null where there is no pair.
// Tokens without spans get empty ones.
Encoded assemble(const Tokenizer& tokenizer, const Tokens& first, const Tokens* second,
                 bool special_tokens);

}  // namespace lowrank::text
