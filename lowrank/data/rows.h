// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lowrank/data/dataset.h"

namespace lowrank::data {

// An example whose label is still a name.
struct Row {
  std::string text, pair, label, source;
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

// The rows of one file, in its order.
//   tsv     a header line, then rows of as many columns; a tab always divides, nothing is quoted
//   jsonl   an object a line; a label may be a string or a whole number
//   text    documents that end at a blank line or at options.document_separator
// A BOM and CR LF are taken off, blank lines of tsv and jsonl skipped.
std::vector<Row> read_rows(const std::string& path, const DataOptions& options, BadRows& bad);

}  // namespace lowrank::data
