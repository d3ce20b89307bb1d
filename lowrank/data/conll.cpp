// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/conll.h"

#include <fmt/format.h>

#include "lowrank/data/lines.h"
#include "lowrank/data/unpacked.h"

namespace lowrank::data {
namespace {

constexpr std::string_view kDocumentStart = "-DOCSTART-";

struct TaggedWord {
  std::string_view word, label;
};

// The first and the last column; an empty label where there is one column alone.
TaggedWord first_and_last(std::string_view line) {
  const bool tabs = line.find('\t') != std::string_view::npos;
  const std::string_view separators = tabs ? "\t" : " ";
  const size_t end = std::min(line.find_first_of(separators), line.size());
  const size_t last = line.find_last_of(separators);
  return {line.substr(0, end),
          last == std::string_view::npos ? std::string_view() : line.substr(last + 1)};
}

std::string_view without_spaces_at_its_end(std::string_view line) {
  return line.substr(0, line.find_last_not_of(" \r\f\v") + 1);
}

// Reads one file, sentence by sentence.
class Sentences {
 public:
  Sentences(const std::string& path, BadRows& bad) : path_(path), bad_(bad) {}

  std::vector<Row> read() {
    const std::string content = read_unpacked(path_);
    Lines lines(content);
    for (Line line; lines.next(line);) {
      if (is_blank(line.text)) {
        finish();
      } else if (!line.text.starts_with(kDocumentStart)) {
        add(without_spaces_at_its_end(line.text), line.number);
      }
    }
    finish();
    return std::move(rows_);
  }

 private:
  void add(std::string_view line, int64_t number) {
    const std::string where = fmt::format("{}:{}", path_, number);
    if (row_.words.empty() && !broken_) row_.source = where;
    if (broken_) return;
    broken_ = !require_utf8(line, path_, number, bad_);
    if (broken_) return;
    const auto [word, label] = first_and_last(line);
    if (is_blank(word) || is_blank(label)) {
      broken_ = true;
      bad_.add("word without a label", where, "a line has a word and its label; one is missing");
      return;
    }
    if (!row_.text.empty()) row_.text += ' ';
    const auto begin = static_cast<int64_t>(row_.text.size());
    row_.text += word;
    row_.words.push_back({begin, static_cast<int64_t>(row_.text.size()), std::string(label)});
  }

  void finish() {
    if (!broken_ && !row_.words.empty()) rows_.push_back(std::move(row_));
    row_ = {};
    broken_ = false;
  }

  const std::string& path_;
  BadRows& bad_;
  Row row_;
  bool broken_ = false;  // the sentence in progress is left out
  std::vector<Row> rows_;
};

}  // namespace

std::vector<Row> read_conll(const std::string& path, BadRows& bad) {
  return Sentences(path, bad).read();
}

}  // namespace lowrank::data
