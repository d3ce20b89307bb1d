// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/random.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <set>

namespace lowrank::data {
namespace {

TEST(Random, GivesTheSameNumbersForTheSameSeeds) {
  Random a({1, 2}), b({1, 2});
  for (int i = 0; i < 100; ++i) EXPECT_EQ(a.next(), b.next());
}

TEST(Random, TellsSeedListsApart) {
  std::set<uint64_t> first;
  for (uint64_t i = 0; i < 30; ++i) {
    for (uint64_t j = 0; j < 30; ++j) first.insert(Random({i, j}).next());
  }
  EXPECT_EQ(first.size(), 900u);
}

// Resuming a run on another machine depends on these numbers.
TEST(Random, IsSpecifiedToTheBit) {
  Random random({7});
  const std::vector<uint64_t> got = {random.next(), random.next(), random.below(1000)};
  EXPECT_THAT(got, ::testing::ElementsAre(0xB8B4C2977EABCE45u, 0xA65305FD338EC8FEu, 549u));
}

TEST(Random, StaysBelowItsLimitAndReachesEveryValue) {
  Random random({3});
  std::vector<int> counts(10);
  for (int i = 0; i < 10000; ++i) ++counts[random.below(10)];
  // 1000 expected; 5 standard deviations are 150.
  for (const int count : counts) EXPECT_NEAR(count, 1000, 150);
  EXPECT_EQ(random.below(1), 0u);
}

TEST(Random, IsUniformFromZeroToOne) {
  Random random({4});
  double sum = 0;
  for (int i = 0; i < 10000; ++i) {
    const double x = random.uniform();
    ASSERT_TRUE(x >= 0 && x < 1);
    sum += x;
  }
  EXPECT_NEAR(sum / 10000, 0.5, 5 * 0.00289);  // standard deviation 1 / sqrt(12 * 10000)
}

TEST(Random, ShufflesIntoAPermutation) {
  std::vector<int> values(100);
  std::iota(values.begin(), values.end(), 0);
  const std::vector<int> sorted = values;
  Random({5}).shuffle(values);
  EXPECT_NE(values, sorted);
  EXPECT_THAT(values, ::testing::UnorderedElementsAreArray(sorted));
}

}  // namespace
}  // namespace lowrank::data
