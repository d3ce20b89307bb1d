// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/cli/sample_sequences.h"

namespace lowrank::cli {

// lowrank analyze spectrum MODEL [FILE|FOLDER...]: how much the first singular values hold.
struct SpectrumFlags {
  SampleFlags sample;
  std::vector<int64_t> n;     // empty: what the model takes, 512 at most
  std::vector<int64_t> rank;  // empty: n / 4
  double share = 0.9;
  std::string plot, heat_map;  // empty: none
};

void add(CLI::App& app, SpectrumFlags& flags);
int run(const SpectrumFlags& flags, const Console& console);

}  // namespace lowrank::cli
