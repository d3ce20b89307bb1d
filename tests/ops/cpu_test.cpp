// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <barrier>
#include <mutex>
#include <set>
#include <thread>

#include "lowrank/ops/linformer.h"
#include "lowrank/ops/nystrom.h"
#include "lowrank/ops/tasks.h"
#include "tests/support/attention_cases.h"
#include "tests/support/oracle.h"

// What the CPU kernels' splitting into chunks could break: sequences of several chunks, and threads.
// float64 takes the libtorch implementation and is the oracle.
namespace lowrank {
namespace {

using at::Tensor;
using testing::AttentionCase;
using Tensors = std::vector<Tensor>;

const AttentionCase kLong = {{4500, 100, 2049}, 2, 16, 24};

using Attend = Tensor (*)(const Tensors& x);

Tensor nystrom(const Tensors& x) {
  return nystrom_attention(x[0], x[1], x[2], kLong.offsets(), {.landmarks = kLong.m, .conv = 5},
                           x[3]);
}
Tensor linformer(const Tensors& x) {
  return linformer_attention(x[0], x[1], x[2], x[3], x[4], kLong.offsets());
}

Tensors nystrom_inputs() {
  return {kLong.random(1), kLong.random(2), kLong.random(3), kLong.filter(4, 5)};
}
Tensors linformer_inputs() {
  return {kLong.random(1), kLong.random(2), kLong.random(3), kLong.projection(4),
          kLong.projection(5)};
}

// The output and the gradients of all inputs.
Tensors run(Attend attend, const Tensors& inputs, at::ScalarType dtype) {
  Tensors x;
  for (const Tensor& input : inputs) x.push_back(input.to(dtype).requires_grad_());
  const Tensor out = attend(x);
  Tensors results = torch::autograd::grad({out}, x, {kLong.random(6).to(dtype)});
  results.push_back(out);
  return results;
}

void expect_close(Attend attend, const Tensors& inputs) {
  const Tensors got = run(attend, inputs, at::kFloat), oracle = run(attend, inputs, at::kDouble);
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_LE(testing::max_error(got[i], oracle[i]), 2e-5 * testing::largest(oracle[i])) << i;
  }
}

void expect_same_bits_on_any_threads(Attend attend, const Tensors& inputs, at::ScalarType dtype) {
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const Tensors one = run(attend, inputs, dtype);
  at::set_num_threads(3);
  const Tensors three = run(attend, inputs, dtype);
  at::set_num_threads(threads);
  for (size_t i = 0; i < one.size(); ++i) EXPECT_TRUE(at::equal(one[i], three[i])) << i;
}

TEST(Chunks, OfALongSequenceAddUpInNystrom) { expect_close(nystrom, nystrom_inputs()); }

// The one of 4,500 tokens has three chunks of queries that add to the gradients of all its keys.
Tensor mostly_exact(const Tensors& x) {
  return nystrom_attention(x[0], x[1], x[2], kLong.offsets(),
                           {.landmarks = kLong.m, .exact_up_to = 4500, .conv = 5}, x[3]);
}

TEST(Chunks, OfALongExactSequenceAddUpInNystrom) { expect_close(mostly_exact, nystrom_inputs()); }

TEST(Chunks, OfALongSequenceAddUpInLinformer) { expect_close(linformer, linformer_inputs()); }

TEST(Threads, DoNotChangeTheBitsOfNystrom) {
  expect_same_bits_on_any_threads(nystrom, nystrom_inputs(), at::kFloat);
  expect_same_bits_on_any_threads(nystrom, nystrom_inputs(), at::kBFloat16);
}

TEST(Threads, DoNotChangeTheBitsOfLinformer) {
  expect_same_bits_on_any_threads(linformer, linformer_inputs(), at::kFloat);
  expect_same_bits_on_any_threads(linformer, linformer_inputs(), at::kBFloat16);
}

// LibTorch's parallel_for is silently serial where OpenMP was not compiled in.
TEST(Threads, AreUsed) {
  const int threads = at::get_num_threads();
  at::set_num_threads(3);
  std::mutex mutex;
  std::set<std::thread::id> seen;
  std::barrier everyone(3);  // nobody gets a second task before all have one
  for_each_part({{0, 1}}, 3, [&](size_t, int64_t) {
    everyone.arrive_and_wait();
    const std::lock_guard<std::mutex> lock(mutex);
    seen.insert(std::this_thread::get_id());
  });
  at::set_num_threads(threads);
  EXPECT_EQ(seen.size(), 3);
}

TEST(CrossAttention, OfShortQueriesReadsAllKeysExactly) {
  const AttentionCase queries = {{5}, 2, 16, 24}, keys = {{5000}, 2, 16, 24};
  const auto attend = [&](at::ScalarType dtype) {
    return nystrom_cross_attention(queries.random(1).to(dtype), keys.random(2).to(dtype),
                                   keys.random(3).to(dtype), queries.offsets(), keys.offsets(),
                                   {.landmarks = 24});
  };
  const Tensor oracle = attend(at::kDouble);
  EXPECT_LE(testing::max_error(attend(at::kFloat), oracle), 2e-5 * testing::largest(oracle));
}

}  // namespace
}  // namespace lowrank
