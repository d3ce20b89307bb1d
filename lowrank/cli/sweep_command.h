// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lowrank/cli/console.h"
#include "lowrank/cli/recipe_flags.h"

namespace lowrank::cli {

// lowrank sweep RECIPE --over KEY=VALUES: trains a recipe once for each combination of values.
struct SweepFlags {
  RecipeFlags recipe;
  std::vector<std::string> over;
  std::string json;  // file
};

void add(CLI::App& app, SweepFlags& flags);
int run(const SweepFlags& flags, const Console& console);

}  // namespace lowrank::cli
