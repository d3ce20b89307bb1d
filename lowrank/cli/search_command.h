// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lowrank/cli/console.h"
#include "lowrank/cli/text_flags.h"

namespace lowrank::cli {

// lowrank search FOLDER QUERY --model MODEL: the files nearest in meaning, through an index.
struct SearchFlags {
  std::string folder;
  std::string query;
  std::string model;
  std::string index;  // empty: <folder>/.lowrank-index.safetensors
  std::string granularity = "file";
  int64_t top = 5;
  bool rebuild = false;
  bool json = false;
  InferenceFlags inference{.on_overflow = "chunk"};
};

void add(CLI::App& app, SearchFlags& flags);
int run(const SearchFlags& flags, const Console& console);

}  // namespace lowrank::cli
