// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lowrank/cli/console.h"
#include "lowrank/cli/recipe_flags.h"

namespace lowrank::cli {

// lowrank train RECIPE: trains a model into the recipe's train.output.
struct TrainFlags {
  RecipeFlags recipe;
  bool resume = false;
};

void add(CLI::App& app, TrainFlags& flags);
int run(const TrainFlags& flags, const Console& console);

}  // namespace lowrank::cli
