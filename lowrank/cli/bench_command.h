// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/cli/console.h"
#include "lowrank/ops/nystrom.h"

namespace CLI {
class App;
}

namespace lowrank::cli {

// lowrank bench attention|layer|model|train [MODEL]: time, memory and error of the attention kinds
// against length.
struct BenchFlags {
  std::string what;
  std::string model;  // what a recipe or a folder says; empty: `heads` and `head_size` do
  std::vector<int64_t> n = {512, 1024, 2048, 4096};  // tokens of the one sequence
  std::vector<std::string> kinds = {"exact", "nystrom", "linformer"};

  int64_t heads = 12, head_size = 64;
  NystromOptions nystrom = {.conv = 33};
  int64_t projected = 256;
  std::string dtype = "float32";
  bool backward = false;

  int64_t threads = 0;  // 0: LibTorch's default
  int64_t rounds = 7;
  int64_t max_seconds = 10;  // of one run; a kind that would take longer is left out
  bool wide = false;         // a table like the papers' too
  std::string json, plot;    // files; empty: none
};

void add(CLI::App& app, BenchFlags& flags);
int run(const BenchFlags& flags, const Console& console);

}  // namespace lowrank::cli
