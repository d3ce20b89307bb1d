// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <vector>

#include "lowrank/serve/reading.h"

namespace lowrank::serve {

// Two texts that a retrieval model compares: a piece of each, max_length being that of each. Throws Error
// for an input without a pair, and as read() does; Overflow::kChunk is an Error.
Reading read_two(const TextModel& model, const TextInput& input, const PieceOptions& options = {});

// Probabilities of the model's classes, [readings][classes], of what read_two() returned. Throws Error for
// a model of another task.
std::vector<std::vector<double>> compare(const TextModel& model,
                                         const std::vector<Reading>& readings,
                                         const RunOptions& options = {});

}  // namespace lowrank::serve
