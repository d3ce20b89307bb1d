// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lowrank/cli/console.h"

namespace CLI {
class App;
}

namespace lowrank::cli {

// lowrank info [MODEL]: the build, the machine, what each operator runs on, and a model.
struct InfoFlags {
  std::string model;
  bool json = false;
};

void add(CLI::App& app, InfoFlags& flags);
int run(const InfoFlags& flags, const Console& console);

}  // namespace lowrank::cli
