// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lowrank/cli/console.h"

namespace CLI {
class App;
}

namespace lowrank::cli {

// lowrank generate listops|pathfinder FOLDER: the data of two tasks of Long Range Arena. Sizes that are
// not given are the published ones.
struct GenerateFlags {
  std::string set, folder;
  std::optional<int64_t> train, validation, test;
  int64_t seed = 1;
  int64_t min_length = 500, max_length = 2000, max_depth = 10, max_arguments = 10;  // listops
  int64_t contour_length = 14;                                                      // pathfinder
};

void add(CLI::App& app, GenerateFlags& flags);
int run(const GenerateFlags& flags, const Console& console);

}  // namespace lowrank::cli
