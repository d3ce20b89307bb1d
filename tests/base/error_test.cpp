// SPDX-License-Identifier: Apache-2.0
#include "lowrank/base/error.h"

#include <gtest/gtest.h>

namespace lowrank {
namespace {

TEST(NearestName, FindsATypingMistake) {
  const std::vector<std::string> known = {"steps", "schedule", "learning_rate"};
  EXPECT_EQ(nearest_name("stesp", known), "steps");
  EXPECT_EQ(nearest_name("learning-rate", known), "learning_rate");
  EXPECT_EQ(nearest_name("schedul", known), "schedule");
}

TEST(NearestName, TakesTheFirstOfEquallyNearOnes) {
  EXPECT_EQ(nearest_name("cat", {"bat", "hat"}), "bat");
}

TEST(NearestName, AllowsAThirdOfTheNameAndAtLeastTwoEdits) {
  EXPECT_EQ(nearest_name("abxy", {"abcd"}), "abcd");
  EXPECT_EQ(nearest_name("axyz", {"abcd"}), "");
  EXPECT_EQ(nearest_name("abcdefghixyz", {"abcdefghijkl"}), "abcdefghijkl");
  EXPECT_EQ(nearest_name("abcdefgvwxyz", {"abcdefghijkl"}), "");
}

TEST(NearestName, IsEmptyWhereNothingIsLeftOfTheKnownName) {
  EXPECT_EQ(nearest_name("x", {"y", "qq"}), "");
  EXPECT_EQ(nearest_name("", {"a"}), "");
  EXPECT_EQ(nearest_name("steps", {}), "");
}

}  // namespace
}  // namespace lowrank
