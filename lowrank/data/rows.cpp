// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/rows.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <string_view>

#include "lowrank/base/config.h"
#include "lowrank/base/error.h"
#include "lowrank/data/conll.h"
#include "lowrank/data/images.h"
#include "lowrank/data/lines.h"
#include "lowrank/data/unpacked.h"
#include "lowrank/text/utf8.h"

namespace lowrank::data {
namespace {

// At every tab; with `most` the last column takes what is left, tabs included.
std::vector<std::string> split_columns(std::string_view line, size_t most = 0) {
  std::vector<std::string> columns;
  for (size_t start = 0; start <= line.size();) {
    const bool last = columns.size() + 1 == most;
    const size_t end = last ? line.size() : std::min(line.find('\t', start), line.size());
    columns.emplace_back(line.substr(start, end - start));
    start = end + 1;
  }
  return columns;
}

std::string place(const std::string& path, int64_t line) {
  return fmt::format("{}:{}", path, line);
}

// Reads one file of columns.
class TsvReader {
 public:
  TsvReader(const std::string& path, const TsvLayout& layout, BadRows& bad)
      : path_(path), layout_(layout), bad_(bad), content_(read_unpacked(path)), lines_(content_) {}

  std::vector<Row> read() {
    const std::vector<std::string> names = column_names();
    const std::optional<size_t> text = column(names, layout_.text);
    const std::optional<size_t> pair = column(names, layout_.pair);
    const std::optional<size_t> label = column(names, layout_.label);
    const size_t most = layout_.tabs_in_last_column ? names.size() : 0;
    for (Line line; lines_.next(line);) {
      if (is_blank(line.text)) continue;
      if (!require_utf8(line.text, path_, line.number, bad_)) continue;
      std::vector<std::string> columns = split_columns(line.text, most);
      const std::string where = place(path_, line.number);
      if (columns.size() != names.size()) {
        bad_.add("wrong column count", where,
                 fmt::format("{} columns; {} {}", columns.size(),
                             layout_.columns.empty() ? "the header has" : "this format has",
                             names.size()));
        continue;
      }
      Row row{.text = columns[*text], .source = where, .labelled = label.has_value()};
      if (pair) row.pair = columns[*pair];
      if (label) row.label = columns[*label];
      add(std::move(row));
    }
    return std::move(rows_);
  }

 private:
  std::vector<std::string> column_names() {
    if (!layout_.columns.empty()) return layout_.columns;
    Line header;
    if (lines_.next(header)) return split_columns(header.text);
    throw Error(fmt::format("{}: the file is empty. A tsv file begins with a header line.", path_));
  }

  // The place of a named column; empty for no name.
  std::optional<size_t> column(const std::vector<std::string>& names,
                               const std::string& name) const {
    if (name.empty()) return std::nullopt;
    const auto found = std::find(names.begin(), names.end(), name);
    if (found == names.end()) {
      throw Error(fmt::format("{}:1: {} no column \"{}\". Its columns are {}.", path_,
                              layout_.columns.empty() ? "the header has" : "data.columns names",
                              name, fmt::join(names, ", ")));
    }
    return static_cast<size_t>(found - names.begin());
  }

  void add(Row row) {
    const auto empty = [&](const std::string& name, const std::string& value) {
      return !name.empty() && is_blank(value);
    };
    if (!layout_.may_be_blank && empty(layout_.text, row.text)) {
      bad_.add("empty text", row.source, fmt::format("\"{}\" is empty", layout_.text));
    } else if (!layout_.may_be_blank && empty(layout_.pair, row.pair)) {
      bad_.add("empty text", row.source, fmt::format("\"{}\" is empty", layout_.pair));
    } else if (empty(layout_.label, row.label)) {
      bad_.add("missing label", row.source, fmt::format("\"{}\" is empty", layout_.label));
    } else {
      rows_.push_back(std::move(row));
    }
  }

  const std::string& path_;
  const TsvLayout& layout_;
  BadRows& bad_;
  const std::string content_;
  Lines lines_;
  std::vector<Row> rows_;
};

// Reads one file of JSON lines or of documents.
class Reader {
 public:
  Reader(const std::string& path, const DataOptions& options, BadRows& bad)
      : path_(path), options_(options), bad_(bad), content_(read_unpacked(path)) {}

  std::vector<Row> jsonl() {
    Lines lines(content_);
    Line line;
    while (lines.next(line)) {
      if (is_blank(line.text)) continue;
      if (!require_utf8(line.text, path_, line.number, bad_)) continue;
      const Json object = Json::parse(line.text, nullptr, /*allow_exceptions=*/false);
      if (!object.is_object()) {
        bad_.add("not a JSON object", where(line.number), "the line is not a JSON object");
        continue;
      }
      Row row{.source = where(line.number), .labelled = !options_.label_column.empty()};
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
      if (!document.empty() && require_utf8(document, path_, first_line, bad_)) {
        rows_.push_back({.text = document, .source = where(first_line), .labelled = false});
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
  std::string where(int64_t line) const { return place(path_, line); }

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
    const bool is_label = key == options_.label_column;
    const bool number =
        is_label && (options_.label_kind == LabelKind::kNumber ? found->is_number()
                                                               : found->is_number_integer());
    if (!found->is_string() && !number) {
      bad_.add("wrong type", where(line),
               fmt::format("\"{}\" is a {}; it must be a string", key, found->type_name()));
      return false;
    }
    result = number ? found->dump() : found->get<std::string>();
    return true;
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

TsvLayout layout_of(const DataOptions& options) {
  return {.columns = options.columns,
          .tabs_in_last_column = options.tabs_in_last_column,
          .text = options.text_column,
          .pair = options.pair_column,
          .label = options.label_column};
}

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

std::vector<Row> read_tsv(const std::string& path, const TsvLayout& layout, BadRows& bad) {
  return TsvReader(path, layout, bad).read();
}

std::vector<Row> read_rows(const std::string& path, const DataOptions& options, BadRows& bad) {
  switch (options.format) {
    case Format::kTsv:
      return read_tsv(path, layout_of(options), bad);
    case Format::kJsonl:
      return Reader(path, options, bad).jsonl();
    case Format::kConll:
      return read_conll(path, bad);
    case Format::kImages:
      return read_image_rows(path);
    default:
      return Reader(path, options, bad).documents();
  }
}

bool require_utf8(std::string_view text, const std::string& path, int64_t line, BadRows& bad) {
  const std::optional<size_t> invalid = text::find_invalid_utf8(text);
  if (!invalid) return true;
  const auto begin = text.begin(), end = text.begin() + static_cast<int64_t>(*invalid);
  const auto at = static_cast<unsigned char>(*end);
  // A document has several lines, a row one.
  const int64_t lines = std::count(begin, end, '\n');
  const size_t line_start = text.rfind('\n', *invalid) + 1;
  bad.add("not UTF-8", place(path, line + lines),
          fmt::format("byte {} of the line, 0x{:02X}, is not UTF-8", *invalid - line_start, at));
  return false;
}

}  // namespace lowrank::data
