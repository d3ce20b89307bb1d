// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lowrank/cli/console.h"

namespace CLI {
class App;
}

namespace lowrank::cli {

// lowrank lra: the tasks of Long Range Arena with several kinds of attention, and the published table.
struct LraFlags {
  std::vector<std::string> tasks, kinds = {"exact", "nystrom", "linformer"};
  double share = 1;  // of the published steps
  std::string data;  // folder of the tasks' data; empty: what the recipes say
  std::string recipes = "recipes/lra", output = "runs/lra";
  int64_t landmarks = 64, projected = 256;
  int64_t evaluations = 10;              // of a run that has a share of the steps
  std::optional<int64_t> evaluate_most;  // examples of validation and test; absent: all, or 500
  std::vector<std::string> set;
  std::string json;
};

void add(CLI::App& app, LraFlags& flags);
int run(const LraFlags& flags, const Console& console);

}  // namespace lowrank::cli
