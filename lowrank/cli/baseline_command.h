// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lowrank/cli/console.h"
#include "lowrank/cli/recipe_flags.h"

namespace lowrank::cli {

// lowrank baseline RECIPE: what a simple model reaches on the same data.
struct BaselineFlags {
  RecipeFlags recipe;
  std::string kind = "linear";
  std::string split;  // empty: test, or validation where test has no labels
  bool json = false;
};

void add(CLI::App& app, BaselineFlags& flags);
int run(const BaselineFlags& flags, const Console& console);

}  // namespace lowrank::cli
