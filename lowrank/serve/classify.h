// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/serve/reading.h"

namespace lowrank::serve {

// Probabilities of the model's classes, [readings][classes]: softmax of the logits, and of an input in
// windows their mean by tokens. A model of one class gives that number itself. Throws Error for a model
// of another task.
std::vector<std::vector<double>> classify(const TextModel& model,
                                          const std::vector<Reading>& readings,
                                          const RunOptions& options = {});

// A question, or the beginning of a text, and what may follow: each choice is read as the pair (text,
// choice). Throws Error for no choices, and as read() does; Overflow::kChunk is an Error.
Reading read_choices(const TextModel& model, const TextInput& input,
                     const std::vector<std::string>& choices, const PieceOptions& options = {});

// Probabilities of the choices, [readings][choices]: softmax of their scores.
std::vector<std::vector<double>> choose(const TextModel& model,
                                        const std::vector<Reading>& readings,
                                        const RunOptions& options = {});

// Places of the highest values, the best first; of equal ones the first.
std::vector<size_t> best_of(const std::vector<double>& values, int64_t top);

}  // namespace lowrank::serve
