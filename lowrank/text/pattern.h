// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "lowrank/text/checked_json.h"

namespace lowrank::text {

// Bytes [begin, end) of a text.
struct Range {
  size_t begin = 0;
  size_t end = 0;
};

// A string or a regular expression that normalizers and pre-tokenizers look for.
class Pattern {
 public:
  // {"String": ...} or {"Regex": ...}, or a plain string.
  explicit Pattern(const CheckedJson& json);
  ~Pattern();
  Pattern(Pattern&&) noexcept;

  // Matches from left to right, none overlapping, empty ones left out.
  std::vector<Range> matches(std::string_view text) const;
  // The string that it looks for; of an expression, its source.
  const std::string& source() const { return source_; }
  bool is_string() const { return compiled_ == nullptr; }

 private:
  struct Compiled;
  std::string source_;
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace lowrank::text
