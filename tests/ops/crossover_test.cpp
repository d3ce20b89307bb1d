// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/crossover.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace lowrank {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// Times as if exact attention cost n^2 and the other 300 n: they meet at 300 tokens.
Comparison meet_at_300(int64_t n) {
  const double exact = static_cast<double>(n * n), other = static_cast<double>(300 * n);
  return {n, exact, other, other / exact};
}

std::vector<int64_t> lengths(const Crossover& found) {
  std::vector<int64_t> all;
  for (const Comparison& at : found.measured) all.push_back(at.n);
  return all;
}

TEST(FindCrossover, DoublesTheLengthAndThenHalvesTheGap) {
  const Crossover found = find_crossover(64, 4096, meet_at_300);
  EXPECT_THAT(lengths(found), ElementsAre(128, 256, 512, 384, 320, 288));
  EXPECT_EQ(found.exact_up_to, 288);
}

TEST(FindCrossover, EndsAtTheLongestWhereExactAttentionIsAsFastThere) {
  const Crossover found = find_crossover(64, 200, meet_at_300);
  EXPECT_THAT(lengths(found), ElementsAre(128, 200));
  EXPECT_EQ(found.exact_up_to, 200);
}

TEST(FindCrossover, EndsAtTheLandmarksWhereExactAttentionIsSlowerAbove) {
  const auto compare = [](int64_t n) -> Comparison { return {n, 2, 1, 0.5}; };
  const Crossover found = find_crossover(64, 4096, compare);
  EXPECT_THAT(lengths(found), ElementsAre(128, 96, 80));
  EXPECT_EQ(found.exact_up_to, 64);
}

TEST(FindCrossover, MeasuresNothingWhereNoSequenceHasMoreTokensThanLandmarks) {
  const Crossover found = find_crossover(64, 50, meet_at_300);
  EXPECT_THAT(found.measured, IsEmpty());
  EXPECT_EQ(found.exact_up_to, 64);
}

TEST(OvertakingLength, IsInterpolatedAsAPowerOfTheLength) {
  const std::vector<Comparison> measured = {meet_at_300(128), meet_at_300(256), meet_at_300(512)};
  EXPECT_NEAR(overtaking_length(measured).value(), 300, 1e-9);
}

TEST(OvertakingLength, CountsFromTheLastLengthAtWhichTheOtherIsSlower) {
  const std::vector<Comparison> measured = {
      {128, 1, 2, 2}, {256, 2, 1, 0.5}, {512, 1, 2, 2}, {1024, 2, 1, 0.5}};
  EXPECT_NEAR(overtaking_length(measured).value(), 512 * std::sqrt(2.0), 1e-9);
}

TEST(OvertakingLength, IsTheFirstWhereTheOtherIsAlwaysFasterAndAbsentWhereItNeverIs) {
  EXPECT_EQ(overtaking_length({meet_at_300(512), meet_at_300(1024)}), 512);
  EXPECT_EQ(overtaking_length({meet_at_300(64), meet_at_300(128)}), std::nullopt);
  EXPECT_EQ(overtaking_length({}), std::nullopt);
}

// A clock by which each second thing that is timed takes `other` seconds and each first one takes 1.
Seconds clock_of(double other) {
  return [time = 0.0, reads = 0, other]() mutable {
    if (reads % 4 == 1) time += 1;
    if (reads % 4 == 3) time += other;
    ++reads;
    return time;
  };
}

TEST(MeasureCrossover, GoesByTheClockForwardAndBackward) {
  for (const bool backward : {false, true}) {
    for (const auto dtype : {at::kFloat, at::kBFloat16}) {
      const AttentionShape shape{.heads = 2, .head_size = 8, .dtype = dtype, .backward = backward};
      const NystromOptions nystrom{.landmarks = 4, .conv = 3};
      const Crossover slower = measure_crossover(nystrom, shape, 40, clock_of(2));
      EXPECT_EQ(slower.exact_up_to, 40);
      ASSERT_EQ(slower.measured.size(), 4);
      EXPECT_EQ(slower.measured[0].n, 8);
      EXPECT_EQ(slower.measured[0].exact, 1);
      EXPECT_EQ(slower.measured[0].other, 2);
      EXPECT_EQ(slower.measured[0].ratio, 2);
      EXPECT_EQ(measure_crossover(nystrom, shape, 40, clock_of(0.5)).exact_up_to, 4);
    }
  }
}

TEST(MeasureCrossover, LeavesTheDefaultGeneratorAsItWas) {
  at::manual_seed(5);
  const at::Tensor expected = at::randn({3});
  at::manual_seed(5);
  measure_crossover({.landmarks = 4}, {.heads = 1, .head_size = 8}, 16);
  EXPECT_TRUE(at::equal(at::randn({3}), expected));
}

}  // namespace
}  // namespace lowrank
