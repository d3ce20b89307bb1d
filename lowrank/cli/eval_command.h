// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lowrank/cli/console.h"
#include "lowrank/cli/recipe_flags.h"

namespace lowrank::cli {

// lowrank eval MODEL [RECIPE]: a trained model's quality on a split of its own or another data set.
struct EvalFlags {
  std::string model;
  RecipeFlags recipe;
  std::string split;  // empty: test, or validation where test has no labels
  bool json = false;
  std::string picture;  // PNG of the confusion matrix; empty: none
};

void add(CLI::App& app, EvalFlags& flags);
int run(const EvalFlags& flags, const Console& console);

}  // namespace lowrank::cli
