// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/linformer.h"

#include "bench/attention_bench.h"

namespace {

using lowrank::testing::AttentionCase;

// Two per multiply-add: E k, E v, the scores and p (E v) take n r d each.
double linformer_flops(const AttentionCase& c) {
  const double r = static_cast<double>(c.m), d = static_cast<double>(c.d);
  return lowrank::bench::sum_flops(c, [&](double n) { return 8 * n * r * d; });
}

at::Tensor attend(const AttentionCase& c, const std::vector<at::Tensor>& qkv) {
  static const at::Tensor e = AttentionCase{{4096}, 1, 1, 64}.projection(5);
  return lowrank::linformer_attention(qkv[0], qkv[1], qkv[2], e.to(c.dtype), {}, c.offsets());
}

}  // namespace

int main(int argc, char** argv) {
  return lowrank::bench::run_table(argc, argv, "linformer", attend, linformer_flops);
}
