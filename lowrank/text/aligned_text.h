// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lowrank/text/tokenizer.h"

namespace lowrank::text {

// A text on its way through normalization, and which bytes of the original each of its bytes stands
// for.
class AlignedText {
 public:
  // `original` itself, which begins at byte `offset` of the text that spans count in.
  explicit AlignedText(std::string_view original, int64_t offset = 0)
      : text_(original), offset_(offset) {}

  std::string_view text() const { return text_; }
  bool empty() const { return text_.empty(); }

  // The original's bytes that [begin, end) of text() stand for. An empty range is a point.
  Span origin(size_t begin, size_t end) const;
  AlignedText part(size_t begin, size_t end) const;

 private:
  friend class Rewriting;
  int64_t start_of(size_t at) const;

  std::string text_;
  int64_t offset_ = 0;         // where the text begins, while it is the original byte for byte
  std::vector<Span> origins_;  // of every byte; empty while it is
};

// Builds the next state of a text from left to right; what is neither kept nor replaced is left out.
class Rewriting {
 public:
  explicit Rewriting(const AlignedText& from) : from_(from) {}

  void keep(size_t begin, size_t end);
  // Every byte of `with` stands for all of [begin, end). An empty range inserts.
  void replace(size_t begin, size_t end, std::string_view with);
  // The first byte stands for all that was left out before it, too.
  void take_in_what_was_before();
  AlignedText finish() { return std::move(to_); }

 private:
  void make_origins();

  const AlignedText& from_;
  AlignedText to_{std::string_view()};
  bool has_origins_ = false;
};

// A text with U+FFFD for every ill-formed sequence.
AlignedText well_formed(std::string_view text);

}  // namespace lowrank::text
