// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lowrank/cli/console.h"
#include "lowrank/train/recipe.h"

namespace CLI {
class App;
}

namespace lowrank::cli {

// A recipe as commands take it.
struct RecipeFlags {
  std::string recipe;
  std::vector<std::string> set;
  bool skip_bad = false;
};

enum class RecipeIs { kRequired, kOptional };

void add(CLI::App& app, RecipeFlags& flags, RecipeIs is = RecipeIs::kRequired);

// The recipe with its settings. Throws Misuse where it cannot be read.
train::Recipe load(const RecipeFlags& flags);

// `trained`, a model's own recipe, with the data of flags.recipe (if there is one) and the settings.
train::Recipe load(const RecipeFlags& flags, const train::Recipe& trained);

// Reads the recipe's data, in pieces of max_length where data.on_overflow = "chunk"; shows progress,
// and then what the reader noted, on console.err.
data::Splits read_data(const train::Recipe& recipe, const Console& console);

}  // namespace lowrank::cli
