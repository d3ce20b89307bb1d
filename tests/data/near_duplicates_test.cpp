// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/near_duplicates.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <iterator>
#include <string>

#include "lowrank/data/random.h"

namespace lowrank::data {
namespace {

TEST(Shingles, AreTheDistinctRunsOfSixWords) {
  EXPECT_EQ(shingles("a b c d e f").size(), 1u);
  EXPECT_EQ(shingles("a b c d e f g h").size(), 3u);
  EXPECT_EQ(shingles("a a a a a a a a a").size(), 1u);
}

TEST(Shingles, LookAtWordsAlone) {
  EXPECT_EQ(shingles("int main(void) { return f(x_1); }"),
            shingles(" int main void\n\treturn f x_1 "));
  EXPECT_NE(shingles("int main void return f x_1"), shingles("int main void return f x_2"));
  EXPECT_NE(shingles("ab c d e f g"), shingles("a bc d e f g"));
}

TEST(Shingles, OfAShortTextAreItsWords) {
  EXPECT_EQ(shingles("good"), shingles("(good)"));
  EXPECT_NE(shingles("good"), shingles("bad"));
  EXPECT_EQ(shingles("good film").size(), 1u);
}

TEST(Shingles, OfATextWithoutWordsAreNone) {
  EXPECT_TRUE(shingles("").empty());
  EXPECT_TRUE(shingles("?! -- ;").empty());
}

double jaccard(const Shingles& a, const Shingles& b) {
  Shingles both;
  std::set_intersection(a.begin(), a.end(), b.begin(), b.end(), std::back_inserter(both));
  const double shared = static_cast<double>(both.size());
  return shared / (static_cast<double>(a.size() + b.size()) - shared);
}

// Sets of every size from 0 to 40 that share elements in every degree: each is a random part of one
// of ten families, plus elements of its own.
std::vector<Shingles> random_sets(uint64_t seed) {
  Random random({seed});
  std::vector<Shingles> sets;
  for (int i = 0; i < 400; ++i) {
    const uint64_t family = random.below(10) * 1000;
    const double share = 1.5 * random.uniform();  // a third of the sets are whole families
    Shingles set;
    for (uint64_t element = 0; element < 30; ++element) {
      if (random.uniform() < share) set.push_back(family + element);
    }
    for (uint64_t own = random.below(10); own > 0; --own) set.push_back(random.next());
    std::sort(set.begin(), set.end());
    sets.push_back(set);
  }
  return sets;
}

class NearDuplicates : public ::testing::TestWithParam<double> {};

TEST_P(NearDuplicates, AreThoseWhoseJaccardSimilarityIsAboveTheThreshold) {
  const std::vector<Shingles> sets = random_sets(1);
  for (const Shingles& a : sets) {
    for (const Shingles& b : sets) {
      EXPECT_EQ(is_near(a, b, GetParam()), jaccard(a, b) > GetParam());
    }
  }
}

// The index skips most comparisons; it must not skip one that counts.
TEST_P(NearDuplicates, AreAllFoundByTheIndex) {
  const std::vector<Shingles> sets = random_sets(2);
  NearDuplicateIndex index(sets, GetParam());
  size_t found = 0;
  for (size_t i = 0; i < sets.size(); ++i) {
    std::vector<int64_t> expected;
    for (size_t j = 0; j < i; ++j) {
      if (is_near(sets[i], sets[j], GetParam())) expected.push_back(static_cast<int64_t>(j));
    }
    EXPECT_EQ(index.find(static_cast<int64_t>(i)), expected) << i;
    index.add(static_cast<int64_t>(i));
    found += expected.size();
  }
  EXPECT_EQ(found > 0, GetParam() < 1);
}

INSTANTIATE_TEST_SUITE_P(Thresholds, NearDuplicates,
                         ::testing::Values(0.0, 0.1, 1.0 / 3, 0.5, 0.8, 0.95, 1.0));

TEST(NearDuplicateIndex, FindsOnlyWhatWasAdded) {
  const Shingles set = shingles("one two three four five six seven");
  const std::vector<Shingles> sets = {set, set, set};
  NearDuplicateIndex index(sets, 0.5);
  index.add(1);
  EXPECT_THAT(index.find(2), ::testing::ElementsAre(1));
  EXPECT_THAT(index.find(1), ::testing::IsEmpty());
}

}  // namespace
}  // namespace lowrank::data
