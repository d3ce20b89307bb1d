// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <tuple>

#include "lowrank/base/error.h"
#include "lowrank/data/duplicates.h"
#include "lowrank/data/glob.h"
#include "lowrank/data/rows.h"
#include "lowrank/data/source_files.h"

namespace lowrank::data {
namespace {

using Progress = std::function<void(int64_t, int64_t)>;

constexpr int64_t kMost = int64_t{1} << 40;  // of any size or count

Json classes_to_json(const DataOptions& options) {
  Json json = Json::object();
  for (const auto& [name, patterns] : options.classes) json[name] = patterns;
  return json;
}

// Each class is read as a field of its own, so that a wrong type is named like that of any other.
void classes_from_json(const Json& json, const std::string& place, DataOptions& options) {
  options.classes.clear();
  read_config(json, place + ".classes", [&](ConfigFields& fields) {
    for (const auto& [name, unused] : json.items()) {
      std::vector<std::string> patterns;
      fields.texts(name.c_str(), patterns);
      if (patterns.empty()) {
        throw Error(fmt::format("{}.{}: the list is empty. Name the files of the class.",
                                fields.place(), name));
      }
      options.classes.emplace_back(name, patterns);
    }
  });
}

void check(const std::string& place, const DataOptions& options) {
  const auto require = [&](bool met, const std::string& message) {
    if (!met) throw Error(fmt::format("{}: {}", place, message));
  };
  if (options.format == Format::kFiles) {
    require(options.train.empty() && options.validation.empty() && options.test.empty(),
            "train, validation and test are not for format = \"files\". Remove them.");
  } else {
    require(options.classes.empty(), "classes are for format = \"files\". Remove the table.");
    require(!options.text_column.empty(), "text_column = \"\"; it must name a column.");
  }
  require(options.format != Format::kText || options.pair_column.empty(),
          "pair_column is not for format = \"text\". Remove it.");
  require(options.format == Format::kText || options.document_separator.empty(),
          "document_separator is for format = \"text\". Remove it.");
  require(options.validation_last == 0 ||
              (options.format != Format::kFiles && options.validation.empty()),
          "validation_last is of the rows of train, for want of validation files. Remove one.");
  require(options.min_bytes <= options.max_bytes,
          fmt::format("min_bytes = {}; it must be at most max_bytes = {}.", options.min_bytes,
                      options.max_bytes));
  require(options.max_per_class == 0 || options.min_per_class <= options.max_per_class,
          fmt::format("min_per_class = {}; it must be at most max_per_class = {}.",
                      options.min_per_class, options.max_per_class));
  require(options.validation_share + options.test_share < 1,
          fmt::format("validation_share + test_share = {}; it must leave a share for training.",
                      options.validation_share + options.test_share));
  require(std::set(options.labels.begin(), options.labels.end()).size() == options.labels.size(),
          "labels has an entry twice. Each class has one name.");
}

bool has_labels(const DataOptions& options) {
  return options.format != Format::kText && !options.label_column.empty();
}

// The classes that the options name, or else those that the rows have.
std::vector<std::string> classes_of(const std::vector<Row>& rows, const DataOptions& options,
                                    const DataReport& report) {
  if (!has_labels(options)) return {};
  std::set<std::string> found;
  for (const Row& row : rows) found.insert(row.label);
  if (std::ssize(found) < options.min_classes) {
    throw Error(fmt::format(
        "data: the classes with examples are {} ({}); min_classes = {}. Name "
        "more files. {}",
        found.size(), fmt::join(found, ", "), options.min_classes, fmt::join(report.notes, " ")));
  }
  return options.labels.empty() ? std::vector(found.begin(), found.end()) : options.labels;
}

Dataset to_dataset(std::vector<Row> rows, const std::vector<std::string>& classes, BadRows& bad) {
  std::map<std::string, int64_t> index_of;
  for (const std::string& name : classes) index_of.emplace(name, std::ssize(index_of));
  Dataset dataset{.examples = {}, .classes = classes};
  for (Row& row : rows) {
    int64_t label = -1;
    if (!classes.empty()) {
      const auto found = index_of.find(row.label);
      if (found == index_of.end()) {
        bad.add("unknown label", row.source,
                fmt::format("label \"{}\" is not one of {}", row.label, fmt::join(classes, ", ")));
        continue;
      }
      label = found->second;
    }
    dataset.examples.push_back(
        {std::move(row.text), std::move(row.pair), label, std::move(row.source)});
  }
  return dataset;
}

// The first `most` rows of each class.
std::vector<Row> limit_classes(std::vector<Row> rows, int64_t most, DataReport& report) {
  std::map<std::string, int64_t> taken;
  std::vector<Row> kept;
  for (Row& row : rows) {
    if (++taken[row.label] <= most) {
      kept.push_back(std::move(row));
    } else {
      count_dropped(report, "over max_per_class");
    }
  }
  return kept;
}

std::vector<Row> drop_small_classes(std::vector<Row> rows, const DataOptions& options,
                                    DataReport& report) {
  std::map<std::string, int64_t> sizes;
  for (const auto& [name, unused] : options.classes) sizes[name] = 0;
  for (const Row& row : rows) ++sizes[row.label];
  for (const auto& [name, size] : sizes) {
    if (size >= options.min_per_class && size > 0) continue;
    report.notes.push_back(fmt::format("Class \"{}\" is left out: {} files; min_per_class = {}.",
                                       name, size, options.min_per_class));
    if (size > 0) count_dropped(report, "class under min_per_class", size);
  }
  std::erase_if(rows, [&](const Row& row) { return sizes[row.label] < options.min_per_class; });
  return rows;
}

struct RowSplits {
  std::vector<Row> train, validation, test;
  std::vector<std::string> classes;
};

// Each group of duplicates goes to the side that its hash falls on: from 0 the test share, then the
// validation share, then training.
RowSplits split(std::vector<Row> rows, const std::vector<uint64_t>& hashes, double test_share,
                double validation_share) {
  RowSplits splits;
  for (size_t i = 0; i < rows.size(); ++i) {
    const double position = static_cast<double>(hashes[i]) * 0x1p-64;
    std::vector<Row>& side = position < test_share                      ? splits.test
                             : position < test_share + validation_share ? splits.validation
                                                                        : splits.train;
    side.push_back(std::move(rows[i]));
  }
  return splits;
}

void require_any(const std::vector<Row>& rows, const DataReport& report) {
  if (!rows.empty()) return;
  throw Error(fmt::format("data: no examples are left to train on. Name other files. {}",
                          fmt::join(report.notes, " ")));
}

RowSplits load_files(const DataOptions& options, BadRows& bad, DataReport& report,
                     const Progress& progress) {
  std::vector<Row> rows = read_source_files(options, bad, report, progress);
  if (options.drop_duplicates) {
    rows = drop_duplicates(std::move(rows), options.near_duplicate, report);
  }
  if (options.max_per_class > 0) {
    rows = limit_classes(std::move(rows), options.max_per_class, report);
  }
  rows = drop_small_classes(std::move(rows), options, report);
  require_any(rows, report);
  const std::vector<std::string> classes = classes_of(rows, options, report);
  // Without duplicates each row is its own group.
  const std::vector<uint64_t> hashes =
      options.drop_duplicates ? content_hashes(rows) : group_hashes(rows, options.near_duplicate);
  RowSplits splits = split(std::move(rows), hashes, options.test_share, options.validation_share);
  splits.classes = classes;
  return splits;
}

std::vector<Row> read_all(const std::vector<std::string>& patterns, const DataOptions& options,
                          BadRows& bad, const Progress& progress) {
  std::vector<std::string> unmatched;
  const std::vector<std::string> files = find_files(patterns, unmatched);
  if (!unmatched.empty()) {
    throw Error(fmt::format("data: {} Correct the name.", fmt::join(unmatched, " ")));
  }
  std::vector<Row> rows;
  int64_t done = 0;
  for (const std::string& file : files) {
    std::vector<Row> read = read_rows(file, options, bad);
    std::move(read.begin(), read.end(), std::back_inserter(rows));
    if (progress) progress(++done, std::ssize(files));
  }
  return rows;
}

// Takes the last `count` rows away.
std::vector<Row> take_last(std::vector<Row>& rows, int64_t count) {
  if (count >= std::ssize(rows)) {
    throw Error(
        fmt::format("data: validation_last = {}; train has {} rows, and some must be left. Lower "
                    "it.",
                    count, rows.size()));
  }
  const auto first = rows.end() - count;
  std::vector<Row> last(std::make_move_iterator(first), std::make_move_iterator(rows.end()));
  rows.erase(first, rows.end());
  return last;
}

RowSplits load_rows(const DataOptions& options, BadRows& bad, DataReport& report,
                    const Progress& progress) {
  std::vector<Row> rows = read_all(options.train, options, bad, progress);
  require_any(rows, report);
  const std::vector<std::string> classes = classes_of(rows, options, report);
  const double test_share = options.test.empty() ? options.test_share : 0;
  const bool by_share = options.validation.empty() && options.validation_last == 0;
  const double validation_share = by_share ? options.validation_share : 0;

  RowSplits splits;
  if (options.validation_last > 0) splits.validation = take_last(rows, options.validation_last);
  if (test_share + validation_share > 0) {
    const std::vector<uint64_t> hashes = group_hashes(rows, options.near_duplicate);
    splits = split(std::move(rows), hashes, test_share, validation_share);
  } else {
    splits.train = std::move(rows);
  }
  splits.classes = classes;
  if (!options.validation.empty()) {
    splits.validation = read_all(options.validation, options, bad, progress);
  }
  if (!options.test.empty()) splits.test = read_all(options.test, options, bad, progress);
  return splits;
}

void note_overlap(const Dataset& train, const Dataset& held_out, const std::string& name,
                  DataReport& report) {
  std::set<std::tuple<std::string_view, std::string_view>> known;
  for (const Example& example : train.examples) known.emplace(example.text, example.pair);
  const auto overlap = std::count_if(held_out.examples.begin(), held_out.examples.end(),
                                     [&](const Example& example) {
                                       return known.count({example.text, example.pair}) > 0;
                                     });
  if (overlap == 0) return;
  report.notes.push_back(fmt::format("{} of {} {} examples are in the training data too.", overlap,
                                     held_out.examples.size(), name));
}

}  // namespace

void describe(ConfigFields& fields, DataOptions& options) {
  fields.choice("format", options.format,
                {{"files", Format::kFiles},
                 {"tsv", Format::kTsv},
                 {"jsonl", Format::kJsonl},
                 {"text", Format::kText},
                 {"images", Format::kImages}});
  Json classes = classes_to_json(options);
  fields.json("classes", classes);
  fields.number("max_bytes", options.max_bytes, 1, int64_t{1} << 30);
  fields.number("min_bytes", options.min_bytes, 0, kMost);
  fields.number("max_per_class", options.max_per_class, 0, kMost);
  fields.number("min_per_class", options.min_per_class, 1, kMost);
  fields.number("min_classes", options.min_classes, 1, kMost);
  fields.flag("strip_leading_comments", options.strip_leading_comments);
  fields.flag("drop_binary", options.drop_binary);
  fields.flag("drop_duplicates", options.drop_duplicates);
  fields.number("near_duplicate", options.near_duplicate, 0.0, 1.0);
  fields.texts("train", options.train);
  fields.texts("validation", options.validation);
  fields.texts("test", options.test);
  fields.text("text_column", options.text_column);
  fields.text("pair_column", options.pair_column);
  fields.text("label_column", options.label_column);
  fields.texts("labels", options.labels);
  fields.text("document_separator", options.document_separator);
  fields.number("validation_last", options.validation_last, 0, kMost);
  fields.number("validation_share", options.validation_share, 0.0, 0.9);
  fields.number("test_share", options.test_share, 0.0, 0.9);
  fields.flag("skip_bad", options.skip_bad);
  fields.number("max_length", options.max_length, 1, int64_t{1} << 30);
  fields.choice("on_overflow", options.on_overflow,
                {{"truncate", "truncate"}, {"error", "error"}, {"chunk", "chunk"}});
  if (!fields.reading()) return;
  classes_from_json(classes, fields.place(), options);
  check(fields.place(), options);
}

void require_sources(const DataOptions& options, const std::string& where) {
  if (options.format == Format::kFiles && options.classes.empty()) {
    throw Error(where + ": format = \"files\" needs classes. Add a table \"classes\".");
  }
  if (options.format != Format::kFiles && options.train.empty()) {
    throw Error(where + ": this format needs train. Name its files.");
  }
}

Splits load_splits(const DataOptions& options, const Progress& progress) {
  require_sources(options, "data");
  Splits splits;
  BadRows bad(options.skip_bad, splits.report);
  RowSplits rows = options.format == Format::kFiles
                       ? load_files(options, bad, splits.report, progress)
                       : load_rows(options, bad, splits.report, progress);
  splits.train = to_dataset(std::move(rows.train), rows.classes, bad);
  splits.validation = to_dataset(std::move(rows.validation), rows.classes, bad);
  splits.test = to_dataset(std::move(rows.test), rows.classes, bad);
  if (!options.validation.empty()) {
    note_overlap(splits.train, splits.validation, "validation", splits.report);
  }
  if (!options.test.empty()) note_overlap(splits.train, splits.test, "test", splits.report);
  return splits;
}

Example load_file(const std::string& path, const DataOptions& options) {
  Example example{.text = read_source_file(path, options), .pair = {}, .source = path};
  if (options.drop_binary && example.text.find('\0') != std::string::npos) {
    throw Error(
        fmt::format("{}: the file holds a NUL byte; only text is read. Leave it out, or "
                    "set drop_binary = false.",
                    path));
  }
  if (example.text.empty()) {
    throw Error(fmt::format("{}: nothing is left to read in this file{}. Leave it out.", path,
                            options.strip_leading_comments ? " without its leading comments" : ""));
  }
  return example;
}

}  // namespace lowrank::data
