// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/table.h"

#include <algorithm>
#include <cstdint>

namespace lowrank::cli {
namespace {

bool is_continuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

}  // namespace

Table::Table(std::vector<std::string> heading, size_t left)
    : heading_(std::move(heading)), left_(left) {}

void Table::add_row(std::vector<std::string> cells) {
  cells.resize(heading_.size());
  rows_.push_back(std::move(cells));
}

void Table::print(std::ostream& out) const {
  std::vector<std::vector<std::string>> lines = rows_;
  const auto has_text = [](const std::string& cell) { return !cell.empty(); };
  if (std::any_of(heading_.begin(), heading_.end(), has_text))
    lines.insert(lines.begin(), heading_);
  std::vector<size_t> widths(heading_.size(), 0);
  for (const auto& line : lines) {
    for (size_t i = 0; i < line.size(); ++i)
      widths[i] = std::max(widths[i], display_width(line[i]));
  }
  for (const auto& line : lines) {
    std::string text;
    for (size_t i = 0; i < line.size(); ++i) {
      const std::string fill(widths[i] - display_width(line[i]), ' ');
      if (i > 0) text += "  ";
      text += i < left_ ? line[i] + fill : fill + line[i];
    }
    text.erase(text.find_last_not_of(' ') + 1);
    out << text << '\n';
  }
}

size_t display_width(std::string_view text) {
  return static_cast<size_t>(
      std::count_if(text.begin(), text.end(), [](char byte) { return !is_continuation(byte); }));
}

}  // namespace lowrank::cli
