// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lowrank/cli/console.h"
#include "lowrank/cli/text_flags.h"

namespace lowrank::cli {

// lowrank embed MODEL [FILE|FOLDER...]: a vector for each text. A module of another package turns an
// array into one: array_inputs.h.
struct EmbedFlags {
  std::string model;
  TextFlags texts;
  InferenceFlags inference{.on_overflow = "chunk"};
  std::string pooling;  // empty: the model's
  bool no_normalize = false;
  std::string format;  // empty: jsonl, or of a module npy
  std::string output;  // empty: standard output
};

void add(CLI::App& app, EmbedFlags& flags);
int run(const EmbedFlags& flags, const Console& console);

}  // namespace lowrank::cli
