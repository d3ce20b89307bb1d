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
const AttentionCase kManyHeads = {{4500, 100, 2049}, 6, 16, 24};
const AttentionCase kVeryLong = {{40000}, 2, 16, 24};

using Attend = Tensor (*)(const AttentionCase& shape, const Tensors& x);

Tensor nystrom(const AttentionCase& shape, const Tensors& x) {
  return nystrom_attention(x[0], x[1], x[2], shape.offsets(), {.landmarks = shape.m, .conv = 5},
                           x[3]);
}
Tensor linformer(const AttentionCase& shape, const Tensors& x) {
  return linformer_attention(x[0], x[1], x[2], x[3], x[4], shape.offsets());
}

Tensors nystrom_inputs(const AttentionCase& shape) {
  return {shape.random(1), shape.random(2), shape.random(3), shape.filter(4, 5)};
}
Tensors linformer_inputs(const AttentionCase& shape) {
  return {shape.random(1), shape.random(2), shape.random(3), shape.projection(4),
          shape.projection(5)};
}

// The output and the gradients of all inputs.
Tensors run(Attend attend, const AttentionCase& shape, const Tensors& inputs,
            at::ScalarType dtype) {
  Tensors x;
  for (const Tensor& input : inputs) x.push_back(input.to(dtype).requires_grad_());
  const Tensor out = attend(shape, x);
  Tensors results = torch::autograd::grad({out}, x, {shape.random(6).to(dtype)});
  results.push_back(out);
  return results;
}

void expect_close(Attend attend, const AttentionCase& shape, const Tensors& inputs) {
  const Tensors got = run(attend, shape, inputs, at::kFloat);
  const Tensors oracle = run(attend, shape, inputs, at::kDouble);
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_LE(testing::max_error(got[i], oracle[i]), 2e-5 * testing::largest(oracle[i])) << i;
  }
}

void expect_same_bits_on_any_threads(Attend attend, const AttentionCase& shape,
                                     const Tensors& inputs) {
  const int threads = at::get_num_threads();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    at::set_num_threads(1);
    const Tensors one = run(attend, shape, inputs, dtype);
    for (const int more : {3, 8}) {
      at::set_num_threads(more);
      const Tensors many = run(attend, shape, inputs, dtype);
      for (size_t i = 0; i < one.size(); ++i) {
        EXPECT_TRUE(at::equal(one[i], many[i])) << i << ", " << more << " threads";
      }
    }
  }
  at::set_num_threads(threads);
}

TEST(Chunks, OfALongSequenceAddUpInNystrom) { expect_close(nystrom, kLong, nystrom_inputs(kLong)); }

// The one of 4,500 tokens has three chunks of queries that add to the gradients of all its keys.
Tensor mostly_exact(const AttentionCase& shape, const Tensors& x) {
  return nystrom_attention(x[0], x[1], x[2], shape.offsets(),
                           {.landmarks = shape.m, .exact_up_to = 4500, .conv = 5}, x[3]);
}

TEST(Chunks, OfALongExactSequenceAddUpInNystrom) {
  expect_close(mostly_exact, kLong, nystrom_inputs(kLong));
}

TEST(Chunks, OfALongSequenceAddUpInLinformer) {
  expect_close(linformer, kLong, linformer_inputs(kLong));
}

TEST(Chunks, OfAVeryLongSequenceShareSumsInLinformer) {
  expect_close(linformer, kVeryLong, linformer_inputs(kVeryLong));
}

TEST(Threads, DoNotChangeTheBitsOfNystrom) {
  expect_same_bits_on_any_threads(nystrom, kLong, nystrom_inputs(kLong));
}

// How many heads pass together depends on the threads.
TEST(Threads, DoNotChangeTheBitsOfLinformer) {
  expect_same_bits_on_any_threads(linformer, kManyHeads, linformer_inputs(kManyHeads));
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
