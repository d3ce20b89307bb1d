// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/serve/batches.h"

namespace lowrank::serve {

// An input, and the sequences that a model reads of it. What answers are made from: fill.h, classify.h,
// token_labels.h, answer.h. Reading an input and running the model are two steps, so that an input that
// cannot be read is named while the others run together.
struct Reading {
  TextInput input;
  Pieces pieces;       // one; windows of a long input; or one for each choice
  int64_t stride = 0;  // tokens that a window shares with the one before it
};

// A batch's tokens where none are named.
inline constexpr int64_t kTokenBudget = 16384;

// How a model is run over readings.
struct RunOptions {
  int64_t token_budget = kTokenBudget;
  BatchRunner::Progress progress = {};
};

// A text, or a pair. Throws Error as PieceCutter does.
Reading read(const TextModel& model, const TextInput& input, const PieceOptions& options = {});

// Throws Error, naming the model's task and the command that serves it, unless it is `task`.
void require_task(const TextModel& model, models::Task task);

// The command of the program that uses a model of the task.
std::string command_for(models::Task task);

// Rows of the last layer, [tokens, c] on the CPU: [readings][pieces]. Under a compat profile, where the
// rest of a batch changes a sequence's result, each piece is a batch of its own.
std::vector<std::vector<at::Tensor>> rows_of(const TextModel& model,
                                             const std::vector<Reading>& readings,
                                             const RunOptions& options);

// Logits in float64: [readings][pieces] of [tokens, outputs] where the task is about tokens, else of
// [outputs].
std::vector<std::vector<at::Tensor>> logits_of(const TextModel& model,
                                               const std::vector<Reading>& readings,
                                               const RunOptions& options);

// Logits of rows that rows_of() returned, or of some of them: float64. For tasks about tokens.
at::Tensor logits_of_rows(const TextModel& model, const at::Tensor& rows);

}  // namespace lowrank::serve
