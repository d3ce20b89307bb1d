// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/cli/sample_sequences.h"

namespace lowrank::cli {

// lowrank analyze error MODEL [FILE|FOLDER...]: what approximations of exact attention cost, layer by layer
// and of the model's vectors.
struct ErrorFlags {
  SampleFlags sample{.documents = 8};
  int64_t n = 0;  // 0: what the model takes, 512 at most
  std::vector<int64_t> landmarks = {16, 32, 64, 128};
  std::vector<int64_t> rank = {32, 64, 128};
  std::vector<std::string> methods = {"nystrom", "pooled", "random", "best"};
  bool layers_only = false;
  std::string plot;  // empty: none
};

void add(CLI::App& app, ErrorFlags& flags);
int run(const ErrorFlags& flags, const Console& console);

// lowrank analyze projection MODEL [FILE|FOLDER...]: the Johnson-Lindenstrauss lemma in numbers.
struct ProjectionFlags {
  SampleFlags sample{.documents = 2};
  std::vector<int64_t> n = {128, 256, 512, 1024, 2048, 4096};
  int64_t rank = 64;
  double factor = 12;
  std::string plot;  // empty: none
};

void add(CLI::App& app, ProjectionFlags& flags);
int run(const ProjectionFlags& flags, const Console& console);

}  // namespace lowrank::cli
