// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstdint>

namespace lowrank::cli {
namespace {

bool is_continuation(char byte) { return (static_cast<uint8_t>(byte) & 0xC0) == 0x80; }

// Bytes of the UTF-8 character at the start of `text`; 0 where there is none.
size_t character_length(std::string_view text) {
  const auto first = static_cast<uint8_t>(text[0]);
  const size_t length = first < 0x80                    ? 1
                        : first >= 0xC2 && first < 0xE0 ? 2
                        : first >= 0xE0 && first < 0xF0 ? 3
                        : first >= 0xF0 && first < 0xF5 ? 4
                                                        : 0;
  if (length > text.size()) return 0;
  for (size_t i = 1; i < length; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  return length;
}

// The first two characters of each word: "torch_python" -> "topy".
std::string beginnings(const std::string& name) {
  std::string letters;
  size_t in_word = 0;
  for (const char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) {
      in_word = 0;
    } else if (in_word++ < 2) {
      letters += c;
    }
  }
  return letters.substr(0, 6);
}

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

std::vector<std::string> abbreviations(const std::vector<std::string>& names) {
  std::vector<std::vector<std::string>> candidates;  // of a name, in order of preference
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string& name = names[i];
    candidates.push_back({name.substr(0, 3), name.substr(0, 4), beginnings(name),
                          fmt::format("{}{}", name.substr(0, 2), i + 1)});
  }
  std::vector<std::string> chosen;
  for (const auto& own : candidates) {
    for (size_t kind = 0; kind < own.size(); ++kind) {
      const auto same = [&](const auto& other) { return other[kind] == own[kind]; };
      const bool distinct = std::count_if(candidates.begin(), candidates.end(), same) == 1;
      const bool taken = std::find(chosen.begin(), chosen.end(), own[kind]) != chosen.end();
      if ((distinct && !taken && !own[kind].empty()) || kind + 1 == own.size()) {
        chosen.push_back(own[kind]);
        break;
      }
    }
  }
  return chosen;
}

std::string escaped(std::string_view text) {
  std::string line;
  while (!text.empty()) {
    const size_t length = character_length(text);
    const auto first = static_cast<uint8_t>(text[0]);
    if (length == 0 || (length == 1 && (first < 0x20 || first == 0x7F))) {
      line += first == '\n'   ? "\\n"
              : first == '\t' ? "\\t"
              : first == '\r' ? "\\r"
                              : fmt::format("\\x{:02x}", first);
      text.remove_prefix(1);
    } else {
      line += text.substr(0, length);
      text.remove_prefix(length);
    }
  }
  return line;
}

}  // namespace lowrank::cli
