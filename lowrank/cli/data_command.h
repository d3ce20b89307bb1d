// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lowrank/cli/console.h"
#include "lowrank/cli/recipe_flags.h"

namespace lowrank::cli {

// lowrank data RECIPE: what training on the recipe's data would see.
struct DataFlags {
  RecipeFlags recipe;
  bool json = false;
};

void add(CLI::App& app, DataFlags& flags);
int run(const DataFlags& flags, const Console& console);

}  // namespace lowrank::cli
