// SPDX-License-Identifier: Apache-2.0
#include "lowrank/nn/ragged.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

namespace lowrank::nn {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

at::Tensor int64s(std::vector<int64_t> values) { return at::tensor(values, at::kLong); }

// Sequences of 5, 0, 1 and 4 rows.
const at::Tensor kOffsets = int64s({0, 5, 5, 6, 10});

TEST(Ragged, CountsWindowsASequence) {
  EXPECT_TRUE(at::equal(window_offsets(kOffsets, 2), int64s({0, 3, 3, 4, 6})));
  EXPECT_TRUE(at::equal(window_offsets(kOffsets, 1), kOffsets));
}

TEST(Ragged, SaysWhichWindowsAreShorter) {
  EXPECT_TRUE(at::equal(window_sizes(kOffsets, 2), int64s({2, 2, 1, 1, 2, 2})));
  EXPECT_TRUE(at::equal(window_sizes(kOffsets, 100), int64s({5, 1, 4})));
}

TEST(Ragged, NumbersTheRowsOfEachSequence) {
  EXPECT_TRUE(at::equal(places(kOffsets), int64s({0, 1, 2, 3, 4, 0, 0, 1, 2, 3})));
}

TEST(Ragged, CutsWindowsThatHoldOneSequenceAndFillTheRest) {
  const at::Tensor x = at::arange(1, 11, at::kDouble).unsqueeze(1);
  const at::Tensor cut = cut_windows(x, kOffsets, 3, -7);
  const at::Tensor expected =
      at::tensor({1, 2, 3, 4, 5, -7, 6, -7, -7, 7, 8, 9, 10, -7, -7}, at::kDouble).view({5, 3, 1});
  EXPECT_TRUE(at::equal(cut, expected));
}

TEST(Ragged, CutsNothingFromNothing) {
  EXPECT_EQ(cut_windows(at::zeros({0, 2}), int64s({0}), 3, 0).sizes(), (at::IntArrayRef{0, 3, 2}));
  EXPECT_EQ(cut_windows(at::zeros({0, 2}), int64s({0, 0}), 3, 0).size(0), 0);
}

TEST(Ragged, SendsEachRowItsOwnGradient) {
  const at::Tensor x = at::rand({10, 2}, at::kDouble).requires_grad_();
  const at::Tensor weights = at::rand({5, 3, 2}, at::kDouble);
  (cut_windows(x, kOffsets, 3, 0) * weights).sum().backward();
  const at::Tensor flat = weights.view({15, 2});
  EXPECT_TRUE(at::equal(x.grad(), flat.index_select(0, int64s({0, 1, 2, 3, 4, 6, 9, 10, 11, 12}))));
}

TEST(Ragged, RefusesOffsetsThatAreNotABatch) {
  const auto check = [](const at::Tensor& offsets) {
    return [offsets] { check_offsets(offsets, 10, "op"); };
  };
  check(kOffsets)();
  EXPECT_THAT(check(int64s({0, 5, 9})),
              ThrowsMessage<c10::ValueError>(HasSubstr("ascend from 0 to the 10 rows")));
  EXPECT_THAT(check(int64s({0, 6, 5, 10})), ThrowsMessage<c10::ValueError>(HasSubstr("ascend")));
  EXPECT_THAT(check(int64s({1, 10})), ThrowsMessage<c10::ValueError>(HasSubstr("got 1 to 10")));
  EXPECT_THAT(check(int64s({})), ThrowsMessage<c10::ValueError>(HasSubstr("[b + 1]")));
  EXPECT_THAT(check(kOffsets.to(at::kInt)), ThrowsMessage<c10::TypeError>(HasSubstr("int64")));
}

}  // namespace
}  // namespace lowrank::nn
