// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include "lowrank/base/config.h"
#include "lowrank/base/race.h"
#include "lowrank/cli/bench_command.h"

namespace lowrank::cli {

// What was measured of one kind at one length.
struct BenchCell {
  int64_t n = 0;
  std::string kind;
  std::vector<double> seconds;  // of each round; empty where the cell was left out
  Quartiles time;               // of `seconds`
  int64_t peak_bytes = 0;       // that tensors took beyond what goes in and comes out
  std::optional<double> error;  // |output - exact| / |exact|, in the same dtype
  std::optional<double> ratio;  // of its time to exact attention's: the median over the rounds
};

struct BenchResult {
  std::string subject;  // "attention, forward, float32; 12 heads of 64"
  std::vector<BenchCell>
      cells;  // lengths ascend; in a length the kinds have the order of the flags
  std::vector<std::string> notes;  // why cells were left out
};

// The machine, the table, the notes, and from which length each kind overtakes exact attention.
void print(const BenchResult& result, const BenchFlags& flags, std::ostream& out);

Json to_json(const BenchResult& result, const BenchFlags& flags);

// Draws time and memory against length beside flags.plot: plot.png gives plot-time.png and
// plot-memory.png. Tells on console.err of both, or why there is none.
void draw(const BenchResult& result, const BenchFlags& flags, const Console& console);

}  // namespace lowrank::cli
