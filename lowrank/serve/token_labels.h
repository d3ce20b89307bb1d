// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/serve/reading.h"

namespace lowrank::serve {

// What a label is given to.
//
//   kNone   each piece of the tokenizer, whatever its label
//   kFirst  words, by the label of their first piece; those of label "O" are left out. Where labels
//           begin with "B-" and "I-", a word labelled I-x goes on with a word of B-x or I-x before it,
//           and the span has the label x
//
// A piece goes on with a word where its bytes follow at once and, in a vocabulary that writes such
// pieces as "##s", it is one; in others, where neither its first byte nor the last before it is a space or
// ASCII punctuation.
enum class Aggregate { kNone, kFirst };

// "none" or "first"; throws Error for another name.
Aggregate aggregate_of(const std::string& name);

struct LabeledSpan {
  text::Span bytes;       // [begin, end) of the text
  text::Span characters;  // the same in code points
  std::string text;
  std::string label;
  double probability = 0;  // of the first piece; of several words the mean
};

// The labels of each text, in its order. A token that several windows hold has the label from where it
// is farthest from an edge. Throws Error for a model of another task, and for a pair.
std::vector<std::vector<LabeledSpan>> label_tokens(const TextModel& model,
                                                   const std::vector<Reading>& readings,
                                                   Aggregate aggregate = Aggregate::kFirst,
                                                   const RunOptions& options = {});

}  // namespace lowrank::serve
