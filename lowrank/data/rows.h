// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lowrank/data/dataset.h"

namespace lowrank::data {

// The bytes [begin, end) of a row's text, and what they are labelled.
struct RowWord {
  int64_t begin = 0, end = 0;
  std::string label = {};
};

// An example whose labels are still as the file writes them.
struct Row {
  std::string text = {}, pair = {}, label = {}, source = {};
  std::vector<RowWord> words = {};  // label_kind = "tag"
  bool labelled = true;             // false: of a test file without labels
};

// The rows of a data set that comes as files. What has no file may be taken out of train; what has one
// that is not there is empty.
struct SplitRows {
  std::vector<Row> train;
  std::optional<std::vector<Row>> validation, test;
};

void count_dropped(DataReport& report, const std::string& reason, int64_t count = 1);

// What to do with bad input: throw, or with skip_bad count it by reason.
class BadRows {
 public:
  BadRows(bool skip, DataReport& report) : skip_(skip), report_(report) {}

  // `where` is a path or "path:line"; `fact` says what is wrong there, without a full stop.
  void add(const std::string& reason, const std::string& where, const std::string& fact);

 private:
  bool skip_;
  DataReport& report_;
};

// How a file of tab-separated columns is read. A tab always divides, nothing is quoted.
struct TsvLayout {
  std::vector<std::string> columns = {};  // their names; empty: the file's first line
  bool tabs_in_last_column = false;
  std::string text = {}, pair = {}, label = {};  // columns by name; empty: none
  bool may_be_blank = false;  // text and pair: of a test set, whose every row counts
};

// Blank lines are skipped.
std::vector<Row> read_tsv(const std::string& path, const TsvLayout& layout, BadRows& bad);

// The rows of one file, in its order.
//   tsv     as above
//   jsonl   an object a line; a label may be a string or a whole number
//   text    documents that end at a blank line or at options.document_separator
//   conll   data/conll.h
// A BOM and CR LF are taken off, blank lines of tsv and jsonl skipped.
std::vector<Row> read_rows(const std::string& path, const DataOptions& options, BadRows& bad);

// False, with the place of the first byte that is no UTF-8 added to `bad`, unless all are. `line` is the
// number of the text's first line in the file.
bool require_utf8(std::string_view text, const std::string& path, int64_t line, BadRows& bad);

}  // namespace lowrank::data
