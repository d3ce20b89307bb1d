// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/nystrom.h"

#include "bench/attention_bench.h"

namespace {

using lowrank::testing::AttentionCase;

constexpr int64_t kSteps = 6;

// Two per multiply-add: F, B, B v and F (...) take n m d each; A and Z (...) m m d; Z four products
// of m m m a step.
double nystrom_flops(const AttentionCase& c) {
  const double m = static_cast<double>(c.m), d = static_cast<double>(c.d);
  return lowrank::bench::sum_flops(
      c, [&](double n) { return 2 * (4 * n * m * d + 2 * m * m * d + kSteps * 4 * m * m * m); });
}

at::Tensor attend(const AttentionCase& c, const std::vector<at::Tensor>& qkv) {
  return lowrank::nystrom_attention(qkv[0], qkv[1], qkv[2], c.offsets(),
                                    {.landmarks = c.m, .inverse_steps = kSteps});
}

}  // namespace

int main(int argc, char** argv) {
  return lowrank::bench::run_table(argc, argv, "nystrom", attend, nystrom_flops);
}
