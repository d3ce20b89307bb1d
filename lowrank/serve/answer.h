// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/serve/reading.h"

namespace lowrank::serve {

// A question and the text that answers it, read as a pair. Where both are too long the context gives
// way, by Overflow::kChunk to windows that overlap by options.stride tokens or half of what they hold of
// it, whichever is less. Throws Error as read() does, and where the question alone is too long.
Reading read_question(const TextModel& model, const std::string& question, const TextInput& context,
                      const PieceOptions& options = {});

struct Answer {
  text::Span bytes;       // [begin, end) of the context
  text::Span characters;  // the same in code points
  std::string text;
  double score = 0;  // probability of the first token times probability of the last
};

struct AnswerOptions {
  int64_t top = 3;       // answers of a question
  int64_t longest = 30;  // tokens of an answer
  int64_t token_budget = kTokenBudget;
};

// The likeliest answers of each question, the best first; each span once. An answer is a run of tokens
// of the context in one window. First and last token are softmaxes over the context's tokens of all
// windows together, so that a window without the answer competes with the others; of one window that is
// what transformers' pipeline computes. Throws Error for a model of another task.
std::vector<std::vector<Answer>> answer(const TextModel& model,
                                        const std::vector<Reading>& readings,
                                        const AnswerOptions& options = {});

}  // namespace lowrank::serve
