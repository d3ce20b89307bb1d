// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/cli/console.h"

namespace CLI {
class App;
}

namespace lowrank::cli {

// lowrank predict MODEL [FILE|FOLDER...]: labels with probabilities.
struct PredictFlags {
  std::string model;
  std::vector<std::string> inputs;  // none: standard input
  bool lines = false;               // each line of the inputs is a text of its own
  int64_t top = 3;                  // classes printed of an input
  std::string on_overflow;          // empty: what the model's recipe says
  bool json = false;                // a JSON object a line
};

void add(CLI::App& app, PredictFlags& flags);
int run(const PredictFlags& flags, const Console& console);

}  // namespace lowrank::cli
