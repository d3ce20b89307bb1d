// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <vector>

#include "lowrank/data/batch.h"

namespace lowrank::data {

// Which examples stand together in which batch.
using BatchPlan = std::vector<std::vector<int64_t>>;

// All examples from the shortest to the longest, cut into batches by batch_size and token_budget.
BatchPlan evaluation_plan(const std::vector<int64_t>& lengths, const BatchOptions& options);

// The batches of one epoch, each example once. Examples are shuffled; runs of `bucket` batches are
// sorted by length and cut, so that a batch holds like lengths; then the batches are shuffled.
BatchPlan training_plan(const std::vector<int64_t>& lengths, const BatchOptions& options,
                        int64_t epoch);

}  // namespace lowrank::data
