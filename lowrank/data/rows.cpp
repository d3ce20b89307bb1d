// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/rows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "lowrank/base/config.h"
#include "lowrank/base/error.h"
#include "lowrank/base/file.h"
#include "lowrank/data/images.h"
#include "lowrank/text/utf8.h"

namespace lowrank::data {
namespace {

struct Line {
  std::string_view text;  // without its end
  int64_t number;         // from 1
};

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

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

std::vector<std::string> split_columns(std::string_view line) {
  std::vector<std::string> columns;
  for (size_t start = 0; start <= line.size();) {
    const size_t end = std::min(line.find('\t', start), line.size());
    columns.emplace_back(line.substr(start, end - start));
    start = end + 1;
  }
  return columns;
}

// Reads one file, whatever its format: what the formats share.
class Reader {
 public:
  Reader(const std::string& path, const DataOptions& options, BadRows& bad)
      : path_(path), options_(options), bad_(bad), content_(read_file(path)) {}

  std::vector<Row> tsv() {
    Lines lines(content_);
    Line line;
    if (!lines.next(line)) {
      throw Error(
          fmt::format("{}: the file is empty. A tsv file begins with a header line.", path_));
    }
    const std::vector<std::string> names = split_columns(line.text);
    const std::optional<size_t> text = column(names, options_.text_column);
    const std::optional<size_t> pair = column(names, options_.pair_column);
    const std::optional<size_t> label = column(names, options_.label_column);

    while (lines.next(line)) {
      if (is_blank(line.text)) continue;
      if (!is_utf8(line.text, line.number)) continue;
      const std::vector<std::string> columns = split_columns(line.text);
      if (columns.size() != names.size()) {
        bad_.add("wrong column count", where(line.number),
                 fmt::format("{} columns; the header has {}", columns.size(), names.size()));
        continue;
      }
      Row row{.text = columns[*text], .pair = {}, .label = {}, .source = where(line.number)};
      if (pair) row.pair = columns[*pair];
      if (label) row.label = columns[*label];
      add(std::move(row));
    }
    return std::move(rows_);
  }

  std::vector<Row> jsonl() {
    Lines lines(content_);
    Line line;
    while (lines.next(line)) {
      if (is_blank(line.text)) continue;
      if (!is_utf8(line.text, line.number)) continue;
      const Json object = Json::parse(line.text, nullptr, /*allow_exceptions=*/false);
      if (!object.is_object()) {
        bad_.add("not a JSON object", where(line.number), "the line is not a JSON object");
        continue;
      }
      Row row{.text = {}, .pair = {}, .label = {}, .source = where(line.number)};
      if (value(object, options_.text_column, line.number, row.text) &&
          value(object, options_.pair_column, line.number, row.pair) &&
          value(object, options_.label_column, line.number, row.label)) {
        add(std::move(row));
      }
    }
    return std::move(rows_);
  }

  std::vector<Row> documents() {
    Lines lines(content_);
    Line line;
    std::string document;
    int64_t first_line = 0;
    const auto finish = [&] {
      document.erase(document.find_last_not_of('\n') + 1);
      if (!document.empty() && is_utf8(document, first_line)) {
        rows_.push_back({.text = document, .pair = {}, .label = {}, .source = where(first_line)});
      }
      document.clear();
    };
    const std::string& separator = options_.document_separator;
    while (lines.next(line)) {
      const bool blank = is_blank(line.text);
      if (separator.empty() ? blank : line.text == separator) {
        finish();
      } else if (!blank || !document.empty()) {
        if (document.empty()) first_line = line.number;
        document.append(line.text).push_back('\n');
      }
    }
    finish();
    return std::move(rows_);
  }

 private:
  std::string where(int64_t line) const { return fmt::format("{}:{}", path_, line); }

  // The place of a named column; empty for no name.
  std::optional<size_t> column(const std::vector<std::string>& names,
                               const std::string& name) const {
    if (name.empty()) return std::nullopt;
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      throw Error(fmt::format("{}:1: the header has no column \"{}\". Its columns are {}.", path_,
                              name, fmt::join(names, ", ")));
    }
    return static_cast<size_t>(found - names.begin());
  }

  // Reads a named key; true without a name.
  bool value(const Json& object, const std::string& key, int64_t line, std::string& result) {
    if (key.empty()) return true;
    const auto found = object.find(key);
    if (found == object.end()) {
      std::vector<std::string> known;
      for (const auto& [name, unused] : object.items()) known.push_back(name);
      bad_.add("missing key", where(line),
               fmt::format("no key \"{}\"; the keys are {}", key, fmt::join(known, ", ")));
      return false;
    }
    const bool number = found->is_number_integer() && key == options_.label_column;
    if (!found->is_string() && !number) {
      bad_.add("wrong type", where(line),
               fmt::format("\"{}\" is a {}; it must be a string", key, found->type_name()));
      return false;
    }
    result = number ? found->dump() : found->get<std::string>();
    return true;
  }

  bool is_utf8(std::string_view text, int64_t line) {
    const std::optional<size_t> invalid = text::find_invalid_utf8(text);
    if (!invalid) return true;
    const auto begin = text.begin(), end = text.begin() + static_cast<int64_t>(*invalid);
    const auto at = static_cast<unsigned char>(*end);
    // A document has several lines, a row one.
    const int64_t lines = std::count(begin, end, '\n');
    const size_t line_start = text.rfind('\n', *invalid) + 1;
    bad_.add("not UTF-8", where(line + lines),
             fmt::format("byte {} of the line, 0x{:02X}, is not UTF-8", *invalid - line_start, at));
    return false;
  }

  void add(Row row) {
    if (is_blank(row.text)) {
      bad_.add("empty text", row.source, fmt::format("\"{}\" is empty", options_.text_column));
    } else if (!options_.pair_column.empty() && is_blank(row.pair)) {
      bad_.add("empty text", row.source, fmt::format("\"{}\" is empty", options_.pair_column));
    } else if (!options_.label_column.empty() && is_blank(row.label)) {
      bad_.add("missing label", row.source, fmt::format("\"{}\" is empty", options_.label_column));
    } else {
      rows_.push_back(std::move(row));
    }
  }

  const std::string& path_;
  const DataOptions& options_;
  BadRows& bad_;
  std::string content_;
  std::vector<Row> rows_;
};

}  // namespace

void count_dropped(DataReport& report, const std::string& reason, int64_t count) {
  const auto found = std::find_if(report.dropped.begin(), report.dropped.end(),
                                  [&](const auto& entry) { return entry.first == reason; });
  if (found == report.dropped.end()) {
    report.dropped.emplace_back(reason, count);
  } else {
    found->second += count;
  }
}

void BadRows::add(const std::string& reason, const std::string& where, const std::string& fact) {
  if (!skip_) {
    throw Error(fmt::format("{}: {}. Mend it, or leave out what is bad with skip_bad = true.",
                            where, fact));
  }
  count_dropped(report_, reason);
}

std::vector<Row> read_rows(const std::string& path, const DataOptions& options, BadRows& bad) {
  if (options.format == Format::kImages) return read_image_rows(path);
  Reader reader(path, options, bad);
  switch (options.format) {
    case Format::kTsv:
      return reader.tsv();
    case Format::kJsonl:
      return reader.jsonl();
    default:
      return reader.documents();
  }
}

}  // namespace lowrank::data
