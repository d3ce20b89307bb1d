// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/dataset.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <tuple>

#include "lowrank/base/error.h"
#include "lowrank/data/duplicates.h"
#include "lowrank/data/glob.h"
#include "lowrank/data/glue.h"
#include "lowrank/data/glue_files.h"
#include "lowrank/data/imdb.h"
#include "lowrank/data/random.h"
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

const std::vector<std::pair<std::string, Format>>& formats() {
  static const std::vector<std::pair<std::string, Format>> all = {
      {"files", Format::kFiles}, {"tsv", Format::kTsv},      {"jsonl", Format::kJsonl},
      {"text", Format::kText},   {"glue", Format::kGlue},    {"imdb", Format::kImdb},
      {"conll", Format::kConll}, {"images", Format::kImages}};
  return all;
}

std::string name_of(Format format) {
  const auto is = [&](const auto& entry) { return entry.second == format; };
  return std::find_if(formats().begin(), formats().end(), is)->first;
}

bool reads_folder(Format format) { return format == Format::kGlue || format == Format::kImdb; }

bool reads_globs(Format format) { return format != Format::kFiles && !reads_folder(format); }

void check(const std::string& place, const DataOptions& options) {
  const auto require = [&](bool met, const std::string& message) {
    if (!met) throw Error(fmt::format("{}: {}", place, message));
  };
  const std::string format = fmt::format("format = \"{}\"", name_of(options.format));
  if (!reads_globs(options.format)) {
    require(options.train.empty() && options.validation.empty() && options.test.empty(),
            fmt::format("train, validation and test are not for {}. Remove them.", format));
  }
  require(options.format == Format::kFiles || options.classes.empty(),
          "classes are for format = \"files\". Remove the table.");
  require(!options.text_column.empty(), "text_column = \"\"; it must name a column.");
  require(reads_folder(options.format) || options.folder.empty(),
          "folder is for format = \"glue\" and \"imdb\". Remove it.");
  require(options.format == Format::kGlue || options.task.empty(),
          "task is for format = \"glue\". Remove it.");
  if (options.format == Format::kGlue) require_glue_task(options.task, place);
  require(
      options.format == Format::kTsv || (options.columns.empty() && !options.tabs_in_last_column),
      "columns and tabs_in_last_column are for format = \"tsv\". Remove them.");
  require(!reads_folder(options.format) || options.labels.empty(),
          fmt::format("labels are those of the data set with {}. Remove them.", format));
  const bool has_columns = options.format == Format::kTsv || options.format == Format::kJsonl;
  require(has_columns || options.label_kind == LabelKind::kClass,
          "label_kind is for format = \"tsv\" and \"jsonl\". Remove it.");
  require(options.label_kind == LabelKind::kClass || !options.label_column.empty(),
          "label_kind = \"number\" without a label_column. Name the column of the numbers.");
  require(options.label_kind == LabelKind::kClass || options.labels.empty(),
          "labels are names of classes; label_kind = \"number\" has none. Remove one of them.");
  require(options.format != Format::kConll || options.on_overflow != "chunk",
          "on_overflow = \"chunk\" would cut sentences from their labels. Use \"truncate\".");
  require(options.format != Format::kText || options.pair_column.empty(),
          "pair_column is not for format = \"text\". Remove it.");
  require(options.format == Format::kText || options.document_separator.empty(),
          "document_separator is for format = \"text\". Remove it.");
  require(
      options.validation_last == 0 || (reads_globs(options.format) && options.validation.empty()),
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
  const bool has_columns = options.format == Format::kTsv || options.format == Format::kJsonl;
  return options.format != Format::kText && !(has_columns && options.label_column.empty());
}

// The classes that the format or the options name, or else those that the rows have.
std::vector<std::string> classes_of(const std::vector<Row>& rows, const DataOptions& options,
                                    const DataReport& report) {
  if (!has_labels(options)) return {};
  if (options.format == Format::kGlue) return glue_classes(options.task);
  if (options.format == Format::kImdb) return {"neg", "pos"};
  if (options.label_kind == LabelKind::kNumber) return {options.label_column};
  std::set<std::string> found;
  for (const Row& row : rows) {
    if (row.words.empty()) found.insert(row.label);
    for (const RowWord& word : row.words) found.insert(word.label);
  }
  if (std::ssize(found) < options.min_classes) {
    throw Error(fmt::format(
        "data: the classes with examples are {} ({}); min_classes = {}. Name "
        "more files. {}",
        found.size(), fmt::join(found, ", "), options.min_classes, fmt::join(report.notes, " ")));
  }
  return options.labels.empty() ? std::vector(found.begin(), found.end()) : options.labels;
}

// Turns rows, whose labels are text, into the examples of one split.
class Labels {
 public:
  Labels(const std::vector<std::string>& classes, const DataOptions& options, BadRows& bad)
      : classes_(classes), kind_(label_kind_of(options)), bad_(bad) {
    for (const std::string& name : classes) index_of_.emplace(name, std::ssize(index_of_));
    if (options.format == Format::kGlue && kind_ == LabelKind::kNumber) highest_ = kHighestScore;
  }

  Dataset dataset_of(std::vector<Row> rows) const {
    Dataset dataset{.classes = classes_, .label_kind = kind_};
    for (Row& row : rows) {
      Example example{.source = std::move(row.source)};
      if (!read(row, example)) continue;
      example.text = std::move(row.text);
      example.pair = std::move(row.pair);
      dataset.examples.push_back(std::move(example));
    }
    return dataset;
  }

 private:
  static constexpr double kHighestScore = 5;  // of STS-B; the lowest is 0

  bool read(const Row& row, Example& example) const {
    if (classes_.empty() || !row.labelled) return true;
    switch (kind_) {
      case LabelKind::kNumber:
        return read_number(row.label, example);
      case LabelKind::kTag:
        return read_words(row, example);
      case LabelKind::kClass:
        break;
    }
    return read_class(row.label, example.source, example.label);
  }

  bool read_class(const std::string& name, const std::string& source, int64_t& label) const {
    const auto found = index_of_.find(name);
    if (found != index_of_.end()) {
      label = found->second;
      return true;
    }
    bad_.add("unknown label", source,
             fmt::format("label \"{}\" is not one of {}", name, fmt::join(classes_, ", ")));
    return false;
  }

  bool read_number(const std::string& text, Example& example) const {
    double number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(number)) {
      bad_.add("label that is no number", example.source,
               fmt::format("label \"{}\" is not a number", text));
      return false;
    }
    if (highest_ && (number < 0 || number > *highest_)) {
      bad_.add("label out of range", example.source,
               fmt::format("label {} is not from 0 to {}", text, *highest_));
      return false;
    }
    example.number = number;
    return true;
  }

  bool read_words(const Row& row, Example& example) const {
    for (const RowWord& word : row.words) {
      Word labelled{.begin = word.begin, .end = word.end};
      if (!read_class(word.label, example.source, labelled.label)) return false;
      example.words.push_back(labelled);
    }
    return true;
  }

  const std::vector<std::string>& classes_;
  const LabelKind kind_;
  BadRows& bad_;
  std::map<std::string, int64_t> index_of_;
  std::optional<double> highest_;
};

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
  bool has_validation = false, has_test = false;  // files of their own
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

SplitRows read_globs(const DataOptions& options, BadRows& bad, const Progress& progress) {
  const auto read = [&](const auto& patterns) -> std::optional<std::vector<Row>> {
    if (patterns.empty()) return std::nullopt;
    return read_all(patterns, options, bad, progress);
  };
  std::vector<Row> train = read_all(options.train, options, bad, progress);
  return {.train = std::move(train),
          .validation = read(options.validation),
          .test = read(options.test)};
}

SplitRows read_split_rows(const DataOptions& options, BadRows& bad, DataReport& report,
                          const Progress& progress) {
  switch (options.format) {
    case Format::kGlue:
      return read_glue(options, bad);
    case Format::kImdb:
      return read_imdb(options, bad, report, progress);
    default:
      return read_globs(options, bad, progress);
  }
}

RowSplits load_rows(const DataOptions& options, BadRows& bad, DataReport& report,
                    const Progress& progress) {
  SplitRows read = read_split_rows(options, bad, report, progress);
  require_any(read.train, report);
  RowSplits splits;
  splits.classes = classes_of(read.train, options, report);
  if (options.validation_last > 0) read.validation = take_last(read.train, options.validation_last);
  splits.has_validation = read.validation.has_value();
  splits.has_test = read.test.has_value();
  const double test_share = splits.has_test ? 0 : options.test_share;
  const double validation_share = splits.has_validation ? 0 : options.validation_share;
  if (test_share + validation_share > 0) {
    const std::vector<uint64_t> hashes = group_hashes(read.train, options.near_duplicate);
    RowSplits parts = split(std::move(read.train), hashes, test_share, validation_share);
    splits.train = std::move(parts.train);
    splits.validation = std::move(parts.validation);
    splits.test = std::move(parts.test);
  } else {
    splits.train = std::move(read.train);
  }
  if (read.validation) splits.validation = std::move(*read.validation);
  if (read.test) splits.test = std::move(*read.test);
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

// A class that no example has cannot be learned, or not be measured.
void note_missing_classes(const Dataset& dataset, const std::string& name, DataReport& report) {
  if (dataset.label_kind == LabelKind::kNumber) return;
  std::set<int64_t> found;
  for (const Example& example : dataset.examples) {
    if (example.label >= 0) found.insert(example.label);
    for (const Word& word : example.words) found.insert(word.label);
  }
  if (found.empty()) return;  // no labels at all
  std::vector<std::string> missing;
  for (int64_t i = 0; i < std::ssize(dataset.classes); ++i) {
    if (found.count(i) == 0) missing.push_back(dataset.classes[static_cast<size_t>(i)]);
  }
  if (missing.empty()) return;
  report.notes.push_back(
      fmt::format("No {} example has the label {}.", name, fmt::join(missing, " or ")));
}

}  // namespace

void describe(ConfigFields& fields, DataOptions& options) {
  fields.choice("format", options.format, formats());
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
  fields.text("folder", options.folder);
  fields.text("task", options.task);
  fields.texts("train", options.train);
  fields.texts("validation", options.validation);
  fields.texts("test", options.test);
  fields.texts("columns", options.columns);
  fields.flag("tabs_in_last_column", options.tabs_in_last_column);
  fields.text("text_column", options.text_column);
  fields.text("pair_column", options.pair_column);
  fields.text("label_column", options.label_column);
  fields.choice("label_kind", options.label_kind,
                {{"class", LabelKind::kClass}, {"number", LabelKind::kNumber}});
  fields.texts("labels", options.labels);
  fields.text("document_separator", options.document_separator);
  fields.number("validation_last", options.validation_last, 0, kMost);
  fields.number("validation_share", options.validation_share, 0.0, 0.9);
  fields.number("test_share", options.test_share, 0.0, 0.9);
  fields.flag("skip_bad", options.skip_bad);
  fields.number("max_length", options.max_length, 1, int64_t{1} << 30);
  fields.choice("on_overflow", options.on_overflow,
                {{"truncate", "truncate"}, {"error", "error"}, {"chunk", "chunk"}});
  fields.flag("packed", options.packed);
  if (!fields.reading()) return;
  classes_from_json(classes, fields.place(), options);
  check(fields.place(), options);
}

void require_sources(const DataOptions& options, const std::string& where) {
  if (options.format == Format::kFiles && options.classes.empty()) {
    throw Error(where + ": format = \"files\" needs classes. Add a table \"classes\".");
  }
  if (reads_globs(options.format) && options.train.empty()) {
    throw Error(where + ": this format needs train. Name its files.");
  }
  if (reads_folder(options.format) && options.folder.empty()) {
    throw Error(fmt::format("{}: format = \"{}\" needs folder. Name the one that holds its files.",
                            where, name_of(options.format)));
  }
}

Splits load_splits(const DataOptions& options, const Progress& progress) {
  require_sources(options, "data");
  Splits splits;
  BadRows bad(options.skip_bad, splits.report);
  RowSplits rows = options.format == Format::kFiles
                       ? load_files(options, bad, splits.report, progress)
                       : load_rows(options, bad, splits.report, progress);
  const Labels labels(rows.classes, options, bad);
  splits.train = labels.dataset_of(std::move(rows.train));
  splits.validation = labels.dataset_of(std::move(rows.validation));
  splits.test = labels.dataset_of(std::move(rows.test));
  if (rows.has_validation) {
    note_overlap(splits.train, splits.validation, "validation", splits.report);
  }
  if (rows.has_test) note_overlap(splits.train, splits.test, "test", splits.report);
  note_missing_classes(splits.train, "training", splits.report);
  note_missing_classes(splits.validation, "validation", splits.report);
  note_missing_classes(splits.test, "test", splits.report);
  return splits;
}

LabelKind label_kind_of(const DataOptions& options) {
  if (options.format == Format::kConll) return LabelKind::kTag;
  if (options.format == Format::kGlue && glue_classes(options.task).size() == 1) {
    return LabelKind::kNumber;
  }
  return options.label_kind;
}

Dataset evenly_spread(const Dataset& dataset, int64_t most) {
  const size_t size = dataset.examples.size();
  const size_t kept = most == 0 ? size : std::min(size, static_cast<size_t>(most));
  Dataset subset{.classes = dataset.classes, .label_kind = dataset.label_kind};
  for (size_t i = 0; i < kept; ++i) {
    const size_t begin = i * size / kept, end = (i + 1) * size / kept;
    subset.examples.push_back(dataset.examples[begin + Random({size, i}).below(end - begin)]);
  }
  return subset;
}

bool is_labelled(const Dataset& dataset, const Example& example) {
  switch (dataset.label_kind) {
    case LabelKind::kNumber:
      return !std::isnan(example.number);
    case LabelKind::kTag:
      return !example.words.empty();
    case LabelKind::kClass:
      break;
  }
  return example.label >= 0;
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
