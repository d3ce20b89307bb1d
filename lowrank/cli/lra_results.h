// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "lowrank/base/config.h"
#include "lowrank/train/learning_curve.h"

namespace lowrank::cli {

// The tasks of Long Range Arena (Tay et al. 2020, arXiv:2011.04006) in the order of its tables.
inline const std::vector<std::string> kLraTasks = {"listops", "text", "retrieval", "image",
                                                   "pathfinder"};

// What a run of one task with one kind of attention came to. result.json in its folder.
struct LraResult {
  std::string task = {}, kind = {};
  int64_t steps = 0;
  int64_t published_steps = 0;  // the recipe's: what the published runs took
  double seconds = 0;           // of training and validation
  double seconds_per_step = 0;  // of training alone
  double validation_accuracy = 0;
  double test_accuracy = 0;  // of the best model by validation
  int64_t test_count = 0;
  std::vector<train::CurvePoint> curve = {};

  double share() const { return static_cast<double>(steps) / static_cast<double>(published_steps); }
  double full_seconds() const { return seconds_per_step * static_cast<double>(published_steps); }
};

Json to_json(const LraResult& result);
// Throws Error naming `where` for what to_json() did not write.
LraResult lra_result(const Json& json, const std::string& where);

// The table of the Nystromformer paper (arXiv:2102.03902, Table 3) with these results below its rows, and
// then what each run took.
void print_lra_table(const std::vector<LraResult>& results, std::ostream& out);

// All of it for programs: {"published": {model: {task: accuracy}}, "runs": [...]}.
Json lra_report(const std::vector<LraResult>& results);

}  // namespace lowrank::cli
