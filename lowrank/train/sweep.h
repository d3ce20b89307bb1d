// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "lowrank/train/recipe.h"

namespace lowrank::train {

// A key of a recipe that a sweep varies, and its values as settings write them.
struct SweepAxis {
  std::string key;
  std::vector<std::string> values;
};

// "model.layers=1,2,4". A comma within brackets, braces or quotes divides nothing, so that whole tables
// are values: model.attention={ kind = "exact" },{ kind = "nystrom", landmarks = 32 }. Throws Error for
// a text without key or value, and for a value that occurs twice.
SweepAxis parse_axis(const std::string& text);

// One combination of values.
struct SweepRun {
  std::vector<std::string> values;  // one of each axis
  std::vector<std::string> labels;  // for people: "nystrom landmarks 32" for the table above
  Recipe recipe;                    // train.output is a folder within the recipe's own
};

// All combinations, the last axis fastest. The folder of a run is named after its values:
// <train.output>/landmarks=32,seed=1. Throws Error for a combination that is no recipe, for an axis
// that occurs twice, and where two runs would share a folder.
std::vector<SweepRun> sweep_runs(const std::filesystem::path& recipe,
                                 const std::vector<std::string>& settings,
                                 const std::vector<SweepAxis>& axes);

}  // namespace lowrank::train
