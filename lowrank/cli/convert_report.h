// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lowrank/cli/console.h"
#include "lowrank/models/closeness.h"
#include "lowrank/train/distill.h"

namespace lowrank::cli {

// One forward of one sequence of n tokens, before and after.
struct ConvertCost {
  int64_t n = 0;
  double seconds_before = 0, seconds_after = 0;         // the shortest of three
  int64_t peak_bytes_before = 0, peak_bytes_after = 0;  // beyond weights and input
};

// What `lowrank convert` tells at its end.
struct ConvertReport {
  std::string what, is;       // whose checkpoint; the model in words
  std::vector<double> alone;  // --attention auto: mean cosine with layer i alone replaced
  std::optional<models::Closeness> before;  // with other attention, before training
  std::optional<train::DistillResult> distilled;
  std::vector<ConvertCost> costs;
};

// Random tokens; positions of both are tiled where they do not reach n.
ConvertCost cost_of(const models::Model& before, const models::Model& after, int64_t n);

void print(const ConvertReport& report, bool json, const Console& console);

}  // namespace lowrank::cli
