// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/cli/console.h"
#include "lowrank/cli/text_flags.h"

namespace lowrank::cli {

// lowrank fill MODEL [TEXT...]: the likeliest words for the blanks of texts.
struct FillFlags {
  std::string model;
  std::vector<std::string> texts;  // none: the lines of standard input
  int64_t top = 5;                 // words printed of a blank
  InferenceFlags inference;
  bool json = false;  // a JSON object a text
};

// CLI11 takes a text that is "[MASK]", or begins and ends so, for a list. With a NUL at its end, which no
// argument of a process can hold, it does not; run() takes that off again.
std::vector<std::string> guarded_texts(std::vector<std::string> arguments);

void add(CLI::App& app, FillFlags& flags);
int run(const FillFlags& flags, const Console& console);

}  // namespace lowrank::cli
