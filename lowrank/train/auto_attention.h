// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>

#include "lowrank/ops/crossover.h"
#include "lowrank/train/recipe.h"

namespace lowrank::train {

// measure_crossover, or what a test puts in its place.
using MeasureCrossover = std::function<Crossover(const NystromOptions& nystrom,
                                                 const AttentionShape& shape, int64_t longest)>;
using Note = std::function<void(const std::string&)>;

// The recipe with each attention of kind "auto" made Nystrom attention with a number for exact_up_to:
// measured for the recipe's heads, dtype and device, forward and backward, on lengths up to
// data.max_length. `note` gets one sentence for each, with what was chosen and why. Entries that are
// alike are measured once. Throws Error for a model that would be wrong with any number.
Recipe with_measured_attention(Recipe recipe, const MeasureCrossover& measure, const Note& note);

// The recipe with the numbers of `saved`, the same recipe after with_measured_attention.
Recipe with_attention_of(Recipe recipe, const Recipe& saved);

}  // namespace lowrank::train
