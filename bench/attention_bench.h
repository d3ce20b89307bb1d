// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <benchmark/benchmark.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/version.h>

#include <functional>
#include <string>
#include <vector>

#include "lowrank/base/build_info.h"
#include "lowrank/base/cpu_level.h"
#include "lowrank/ops/counting_allocator.h"
#include "lowrank/ops/exact.h"
#include "tests/support/attention_cases.h"

// What the benchmarks of the attention ops share. Each table begins with exact attention and with
// LibTorch's own, on the same inputs.
namespace lowrank::bench {

using at::Tensor;
using testing::AttentionCase;
using Attend = std::function<Tensor(const AttentionCase&, const std::vector<Tensor>& qkv)>;
using Flops = double (*)(const AttentionCase&);  // of a forward; a backward has 2.5 times as many

inline std::vector<AttentionCase> bench_cases() {
  std::vector<AttentionCase> cases;
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    for (const int64_t n : {512, 1024, 4096}) cases.push_back({{n}, 12, 64, 64, dtype});
  }
  cases.push_back({{512, 300, 128, 40}, 12, 64, 64});  // ragged
  return cases;
}

// The sum over the sequences of `flops_per_sequence(n)`, for all heads.
template <class PerSequence>
double sum_flops(const AttentionCase& c, const PerSequence& flops_per_sequence) {
  double sum = 0;
  for (const int64_t n : c.lengths) sum += flops_per_sequence(static_cast<double>(n));
  return sum * static_cast<double>(c.h);
}

// Two per multiply-add: q k^T and p v.
inline double exact_flops(const AttentionCase& c) {
  return sum_flops(c, [&](double n) { return 4 * n * n * static_cast<double>(c.d); });
}

// Bytes that move at the least: a forward reads q, k and v and writes the output, a backward reads the
// output's gradient and writes three.
inline double least_bytes(const AttentionCase& c, bool backward) {
  const auto element = static_cast<int64_t>(c10::elementSize(c.dtype));
  return static_cast<double>((backward ? 8 : 4) * c.total() * c.h * c.d * element);
}

// `amount` an iteration, as a rate.
inline benchmark::Counter rate(double amount) {
  return {amount, benchmark::Counter::kIsIterationInvariantRate, benchmark::Counter::kIs1000};
}

inline void add(const std::string& name, const AttentionCase& c, const Attend& attend,
                Flops flops) {
  const auto run = [=](benchmark::State& state, bool backward) {
    std::vector<Tensor> qkv = {c.random(1), c.random(2), c.random(3)};
    for (Tensor& x : qkv) x.requires_grad_(backward);
    const Tensor gradient = c.random(4);
    const auto step = [&] {
      const Tensor out = attend(c, qkv);
      if (backward) benchmark::DoNotOptimize(torch::autograd::grad({out}, qkv, {gradient}));
    };
    step();  // the first call of a shape starts threads and fills the libraries' caches
    const PeakBytes peak;
    for (auto _ : state) step();
    state.counters["flop/s"] = rate(flops(c) * (backward ? 3.5 : 1));
    state.counters["bytes/s"] = rate(least_bytes(c, backward));
    state.counters["peak bytes"] = {static_cast<double>(peak.value()),
                                    benchmark::Counter::kDefaults, benchmark::Counter::kIs1024};
  };
  const std::string title = name + "/" + testing::case_name({c, 0});
  benchmark::RegisterBenchmark((title + "/forward").c_str(), run, false)->UseRealTime();
  benchmark::RegisterBenchmark((title + "/forward_backward").c_str(), run, true)->UseRealTime();
}

inline Tensor torch_attention(const AttentionCase& c, const std::vector<Tensor>& qkv) {
  std::vector<Tensor> outputs;
  int64_t begin = 0;
  for (const int64_t n : c.lengths) {
    const auto heads = [&](const Tensor& x) {
      return x.narrow(0, begin, n).transpose(0, 1).unsqueeze(0);
    };
    const Tensor out =
        at::scaled_dot_product_attention(heads(qkv[0]), heads(qkv[1]), heads(qkv[2]));
    outputs.push_back(out.squeeze(0).transpose(0, 1));
    begin += n;
  }
  return at::cat(outputs);
}

inline Tensor exact(const AttentionCase& c, const std::vector<Tensor>& qkv) {
  return exact_attention(qkv[0], qkv[1], qkv[2], c.offsets());
}

// What a number hangs on, besides the machine that the first lines of the output describe.
inline void add_context() {
  benchmark::AddCustomContext("commit", build_info::kCommit);
  benchmark::AddCustomContext("build type", build_info::kBuildType);
  benchmark::AddCustomContext("CPU level", lowrank::name(cpu_level()));
  benchmark::AddCustomContext("threads", std::to_string(at::get_num_threads()));
  benchmark::AddCustomContext("torch", TORCH_VERSION);
}

// Runs the table of one op, after the two rows that it is compared with.
inline int run_table(int argc, char** argv, const std::string& name, const Attend& attend,
                     Flops flops) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  add_context();
  CountingAllocator::install();
  for (const AttentionCase& c : bench_cases()) {
    add("torch", c, torch_attention, exact_flops);
    add("exact", c, exact, exact_flops);
    if (name != "exact") add(name, c, attend, flops);
  }
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace lowrank::bench
