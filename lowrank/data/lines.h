// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <string_view>

namespace lowrank::data {

struct Line {
  std::string_view text;  // without its end
  int64_t number = 0;     // from 1
};

// The lines of a text that outlives this; a BOM and CR LF are taken off.
class Lines {
 public:
  explicit Lines(std::string_view rest) : rest_(rest) {
    if (rest_.starts_with("\xEF\xBB\xBF")) rest_.remove_prefix(3);
  }

  bool next(Line& line) {
    if (rest_.empty()) return false;
    const size_t end = std::min(rest_.find('\n'), rest_.size());
    line = {rest_.substr(0, end), ++number_};
    if (line.text.ends_with('\r')) line.text.remove_suffix(1);
    rest_.remove_prefix(std::min(end + 1, rest_.size()));
    return true;
  }

 private:
  std::string_view rest_;
  int64_t number_ = 0;
};

inline bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

}  // namespace lowrank::data
