// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "lowrank/base/config.h"

namespace lowrank::data {

enum class Format { kFiles, kTsv, kJsonl, kText, kGlue, kImdb, kConll, kImages };

// What the label of an example is: one of the classes, a number, or a class for each word.
enum class LabelKind { kClass, kNumber, kTag };

// The [data] table of a recipe. Keys are the field names.
struct DataOptions {
  Format format = Format::kFiles;

  // files: class name -> globs ("**" crosses folders, a leading "!" leaves out, "~" and
  // "${NAME}" / "${NAME:-default}" expand environment variables) or folders, read whole.
  std::vector<std::pair<std::string, std::vector<std::string>>> classes;
  int64_t max_bytes = 65536;  // of a file that are read
  int64_t min_bytes = 1;      // shorter files are dropped
  int64_t max_per_class = 0;  // kept in path-hash order; 0: all
  int64_t min_per_class = 1;  // a smaller class is named and left out
  int64_t min_classes = 2;    // fewer that are left are an error; for tsv and jsonl too
  bool strip_leading_comments = false;
  bool drop_binary = true;      // files that hold a NUL byte
  bool drop_duplicates = true;  // exact and near duplicates, across all classes
  double near_duplicate = 0.5;  // Jaccard similarity of 6-word shingles above which two are near

  // glue, imdb: the folder of the data set's own files ("~" and environment variables as above); glue:
  // which of the tasks of data/glue.h they are.
  std::string folder;
  std::string task;

  // tsv, jsonl: columns or keys by name; text: only `text` files of documents; conll: a word and its
  // label a line; images: what images.h reads, a pixel a byte. All of these files may be packed (.gz, .xz).
  std::vector<std::string> train, validation, test;  // globs; validation and test may be absent
  std::vector<std::string> columns;  // tsv: the names of the columns of files without a header line
  bool tabs_in_last_column = false;  // tsv: tabs beyond the number of columns belong to the last
  std::string text_column = "text";
  std::string pair_column;                   // second text of a pair; empty: none
  std::string label_column = "label";        // empty: none, for masked language models
  LabelKind label_kind = LabelKind::kClass;  // tsv, jsonl: "class" or "number"
  std::vector<std::string> labels;           // the classes in order; empty: those of train, sorted
  std::string document_separator;  // text: a line that ends a document; empty: a blank line

  // Where a format has no validation or test of its own, this share of train by content hash.
  // Or without a validation of its own, this many last rows of train; 0: a share.
  int64_t validation_last = 0;
  double validation_share = 0.1;
  double test_share = 0.1;
  bool skip_bad = false;       // count and leave out bad rows instead of failing
  int64_t max_length = 16384;  // tokens of an example, special tokens included
  // Of longer examples: "truncate", "error" or "chunk" into pieces. The batches see to it.
  std::string on_overflow = "truncate";
  // text: documents are read one after the other, and an example is the next max_length tokens. pack()
  // of batch.h sees to it.
  bool packed = false;
};

void describe(ConfigFields& fields, DataOptions& options);

// Throws Error, naming `where`, unless the options say what to read: a recipe must, a program that
// makes its examples itself need not.
void require_sources(const DataOptions& options, const std::string& where);

// The kind of label that the options ask for, whatever the format.
LabelKind label_kind_of(const DataOptions& options);

// The bytes [begin, end) of an example's text and the class of that word.
struct Word {
  int64_t begin = 0, end = 0;
  int64_t label = -1;  // index into Dataset::classes
};

struct Example {
  std::string text = {};
  std::string pair = {};    // second text; empty where there is none
  int64_t label = -1;       // index into Dataset::classes; -1: none
  std::string source = {};  // "path" or "path:line", for messages
  double number = std::numeric_limits<double>::quiet_NaN();  // LabelKind::kNumber; NaN: none
  std::vector<Word> words = {};                              // LabelKind::kTag, ascending
};

struct Dataset {
  std::vector<Example> examples = {};
  std::vector<std::string> classes = {};  // LabelKind::kNumber: what the number is called, alone
  LabelKind label_kind = LabelKind::kClass;
};

// Whether the example has the label that the dataset's examples are to have.
bool is_labelled(const Dataset& dataset, const Example& example);

// `most` of the examples: one of each of so many equal parts of the dataset, which may be in the order of its classes,
// drawn from it because the order may also repeat. Always the same ones. 0: all.
Dataset evenly_spread(const Dataset& dataset, int64_t most);

// What was left out and why, for `lowrank data` and the log.
struct DataReport {
  std::vector<std::pair<std::string, int64_t>> dropped;  // reason -> count
  std::vector<std::string> notes;                        // one sentence each: a class left out ...
};

struct Splits {
  Dataset train, validation, test;
  DataReport report;
};

// Reads everything. Throws Error naming file and line for the first bad row unless skip_bad.
//
// A split that is made here depends on nothing but the contents: neither on paths nor on order.
// Duplicates and near duplicates never stand on two sides of it. Splits that come as files of their
// own stay as they are; a note says how many of their texts the training data holds too, another which
// classes they lack. Files are
// kept in the order of the hashes of their paths, rows in their own. `progress` (optional) gets
// (done, total) while files are read.
Splits load_splits(const DataOptions& options,
                   const std::function<void(int64_t, int64_t)>& progress = {});

// One file read as `files` examples are (cut to max_bytes, comments stripped): for predict.
Example load_file(const std::string& path, const DataOptions& options);

}  // namespace lowrank::data
