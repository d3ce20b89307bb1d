// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
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
  bool is_none = false;        // the context has no answer: no text, and spans without length
  text::Span bytes = {};       // [begin, end) of the context
  text::Span characters = {};  // the same in code points
  std::string text = {};
  double score = 0;  // probability of the first token times probability of the last
};

struct AnswerOptions {
  int64_t top = 3;                                           // answers of a question
  int64_t longest = 30;                                      // tokens of an answer
  std::optional<double> no_answer_threshold = std::nullopt;  // absent: there always is an answer
  RunOptions run = {};
};

// The likeliest answers of each question, the best first; each span once. An answer is a run of tokens
// of the context in one window. First and last token are softmaxes over the context's tokens of all
// windows together, so that a window without the answer competes with the others; of one window that is
// what transformers' pipeline computes.
//
// A model that was trained on questions without answers (SQuAD 2) says so by the first token of a sequence,
// [CLS]. With a no_answer_threshold that token, of the window where it scores least, takes part in both
// softmaxes, and "no answer" is one of the answers:
//
//   it is the first      where log(its score) - log(the best span's) > no_answer_threshold
//   it stands by score   otherwise, after the best span
//
// Of one window that difference is the one of logits that null_score_diff_threshold is compared with elsewhere.
//
// Throws Error for a model of another task, and where a threshold is given and no token of the template
// stands in front.
std::vector<std::vector<Answer>> answer(const TextModel& model,
                                        const std::vector<Reading>& readings,
                                        const AnswerOptions& options = {});

}  // namespace lowrank::serve
