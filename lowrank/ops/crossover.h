// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "lowrank/base/race.h"
#include "lowrank/ops/nystrom.h"

// From which length on an approximation of attention is faster than the exact one, on this machine.
namespace lowrank {

// One sequence of n tokens: medians over the rounds of a race.
struct Comparison {
  int64_t n = 0;
  double exact = 0, other = 0;  // seconds
  double ratio = 1;             // of the other's time to that of exact attention, inside a round
};

// The length at which the other's ratio falls below 1 for good, interpolated between two measured
// ones as a power of n; the first one measured where the other is faster from there on, absent where
// it is not at the last. `measured` ascends in n.
std::optional<double> overtaking_length(const std::vector<Comparison>& measured);

// What Nystrom attention's exact_up_to is best set to.
struct Crossover {
  int64_t exact_up_to = 0;           // at least `landmarks`
  std::vector<Comparison> measured;  // in the order in which it was found
};

// Looks for it above `landmarks`: doubles the length until exact attention is the slower, then halves
// the gap until it is an eighth of the length, or 16 tokens. No more than `longest` is asked of
// `compare`; where exact attention is as fast even there, the result is `longest`.
Crossover find_crossover(int64_t landmarks, int64_t longest,
                         const std::function<Comparison(int64_t n)>& compare);

// What attention is measured on: random q, k and v [n, heads, head_size] of one sequence.
struct AttentionShape {
  int64_t heads = 1, head_size = 64;
  at::ScalarType dtype = at::kFloat;
  at::Device device = at::kCPU;
  bool backward = false;  // forward and backward
};

// find_crossover between the two ways in which nystrom_attention does a sequence, exact and not; its
// exact_up_to is not read. Takes a second or two for 64 landmarks. `now` is for tests.
Crossover measure_crossover(const NystromOptions& nystrom, const AttentionShape& shape,
                            int64_t longest, const Seconds& now = steady_seconds);

}  // namespace lowrank
