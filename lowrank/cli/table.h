// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ostream>
#include <string>
#include <string_view>
#include <vector>

namespace lowrank::cli {

// Aligned columns of text, two spaces apart.
class Table {
 public:
  // The first `left` columns are aligned to the left, the others to the right.
  explicit Table(std::vector<std::string> heading, size_t left = 1);
  void add_row(std::vector<std::string> cells);  // as many as the heading has
  void print(std::ostream& out) const;           // a table without heading texts prints rows only

 private:
  std::vector<std::string> heading_;
  std::vector<std::vector<std::string>> rows_;
  size_t left_;
};

// Columns that a UTF-8 text takes on a terminal, one a code point.
size_t display_width(std::string_view text);

}  // namespace lowrank::cli
