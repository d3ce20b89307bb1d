// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lowrank/models/closeness.h"
#include "lowrank/models/model.h"
#include "lowrank/text/tokenizer.h"
#include "lowrank/train/recipe.h"

namespace lowrank::train {

struct DistillOptions {
  double minutes = 10;    // by the clock, evaluations included; the learning rate follows it
  int64_t steps = 0;      // instead of minutes, where it is not 0
  int64_t length = 512;   // tokens of a training sequence, special ones included
  int64_t sequences = 4;  // of a step
  double learning_rate =
      1e-3;                  // the highest; rises over a twentieth of the time, then a cosine to 0
  double target = 1;         // stops when the mean cosine of the held-out sequences reaches it
  int64_t evaluations = 12;  // in all; stops after three in a row without a better result
  Precision precision = Precision::kFloat32;
  uint64_t seed = 0;
};

// Sequences of exactly `length` tokens, special ones included, cut out of texts one after the other;
// the last tokens of a text that do not fill one are left out.
struct DistillData {
  std::vector<std::vector<int64_t>> training, held_out;  // token ids
};

// A twentieth of the sequences, 8 at least and 32 at most, evenly spread, is held out. Throws Error where
// the texts give fewer than 16.
DistillData distill_data(const std::vector<std::string>& texts, const text::Tokenizer& tokenizer,
                         int64_t length);

// The sequences as batches of at most `together`.
std::vector<models::Inputs> batches_of(const std::vector<std::vector<int64_t>>& sequences,
                                       int64_t together);

struct DistillProgress {
  double done = 0;  // share of the run
  int64_t step = 0;
  double loss = 0;
  double cosine = 0;  // of the last evaluation
  double seconds_left = 0;
};

struct DistillResult {
  enum class Ended { kDone, kTarget, kNoProgress, kInterrupted } ended = Ended::kDone;
  int64_t steps = 0;
  int64_t tokens = 0;
  double seconds = 0;
  models::Closeness before, after;  // on the held-out sequences
};

// Trains `student` to compute what `teacher` does on the same tokens; both have the same number of layers
// and the same width.
//
//   loss = mean over the layers of |x_l - y_l|^2 / |y_l|^2 + 1 - cos(pooled x, pooled y)
//
// x_l and y_l are the hidden states of student and teacher. All weights of the student learn but those of
// its embeddings, which the two share. AdamW without dropout; the default generator is not used, and on
// one machine the same steps give the same bits. `stop` ends after the step in progress; the student
// keeps what it has learnt.
DistillResult distill(models::Model& student, models::Model& teacher, const DistillData& data,
                      const DistillOptions& options,
                      const std::function<void(const DistillProgress&)>& progress,
                      const std::atomic<bool>& stop);

}  // namespace lowrank::train
