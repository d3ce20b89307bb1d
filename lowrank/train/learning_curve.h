// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <string>
#include <vector>

#include "lowrank/base/config.h"

namespace lowrank::train {

inline constexpr const char* kMetricsFile = "metrics.jsonl";

// The lines of the record in a run's folder (docs/formats.md) up to that of `last_step`, none where
// there is no record. A line that whatever ended the run cut off ends them too.
std::vector<Json> logged_lines(const std::filesystem::path& folder,
                               int64_t last_step = std::numeric_limits<int64_t>::max() - 1);

// An evaluation on the validation data, as the record has it.
struct CurvePoint {
  int64_t step = 0;
  double seconds = 0;  // of training until then
  bool best = false;   // of those so far
  double loss = 0, accuracy = 0;
  std::string metric =
      "accuracy";  // what the run goes by, and the evaluation by it: a loss negatively
  double quality = 0;
};

// All evaluations of a run, in their order.
std::vector<CurvePoint> learning_curve(const std::filesystem::path& folder);

}  // namespace lowrank::train
