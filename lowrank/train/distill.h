// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lowrank/io/safetensors.h"
#include "lowrank/models/closeness.h"
#include "lowrank/models/model.h"
#include "lowrank/text/tokenizer.h"
#include "lowrank/train/recipe.h"

namespace lowrank::train {

struct DistillOptions {
  double minutes = 10;    // of training, evaluations included; the learning rate follows the clock
  int64_t steps = 0;      // instead of minutes, where it is not 0
  int64_t length = 512;   // tokens of a training sequence, special ones included
  int64_t sequences = 4;  // of a step
  // The highest; rises over a twentieth of the time and 25 steps at least, then a cosine to 0.
  double learning_rate = 2e-4;
  double target = 1;  // stops when the mean cosine of the held-out sequences reaches it
  // In all. At high learning rates the student may fall back before it gains, so that only in the second
  // half three in a row without a better result than the best so far end it.
  int64_t evaluations = 12;
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

// Where a distillation stands after `steps` steps: with the student's parameters, all that it needs to go
// on to the same bits.
struct DistillState {
  int64_t steps = 0;
  int64_t tokens = 0;             // trained on
  double seconds = 0;             // of the clock, all sittings
  int64_t passes = 0, taken = 0;  // over the sequences: begun, and taken of the one that goes on
  int64_t evaluated = 0;          // evaluations done
  int64_t worse = 0;              // of those, without a better result in a row
  double best = -1, cosine = 0;   // of the best and of the last evaluation
  models::Closeness before;       // of the student before its first step
  io::NamedTensors optimizer;
};

struct DistillResult {
  enum class Ended { kDone, kTarget, kNoProgress, kInterrupted } ended = Ended::kDone;
  int64_t steps = 0;
  int64_t tokens = 0;
  double seconds = 0;
  models::Closeness before, after;  // on the held-out sequences
  DistillState state;               // to go on from, where it was interrupted
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
//
// With `from`, of the same data and options, it goes on where that run was stopped; the student has the
// parameters that it had then. Limited by steps the bits are those of a run that was never stopped; by the
// clock, the time of all sittings counts. Throws Error where the optimizer's state is another model's.
DistillResult distill(models::Model& student, models::Model& teacher, const DistillData& data,
                      const DistillOptions& options,
                      const std::function<void(const DistillProgress&)>& progress,
                      const std::atomic<bool>& stop, const DistillState* from = nullptr);

}  // namespace lowrank::train
