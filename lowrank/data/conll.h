// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lowrank/data/rows.h"

namespace lowrank::data {

// Sentences of labelled words, as the CoNLL tasks write them: a word a line, a blank line between
// sentences. A line's columns stand between tabs or, where it has none, spaces; the first is the word, the
// last its label, and what is between has no meaning here.
//
//   EU        B-ORG
//   rejects   O
//
// A sentence becomes a row: its words with a space between them. Lines that begin with -DOCSTART- are left
// out. A line without a label is bad, and its whole sentence with it.
std::vector<Row> read_conll(const std::string& path, BadRows& bad);

}  // namespace lowrank::data
