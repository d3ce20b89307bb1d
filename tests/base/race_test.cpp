// SPDX-License-Identifier: Apache-2.0
#include "lowrank/base/race.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

namespace lowrank {
namespace {

using ::testing::ElementsAre;

TEST(Race, RunsTheContestantsInTurnAndTimesEachByTheClock) {
  double time = 0;
  std::string order;
  const std::vector<std::function<void()>> contestants = {[&] { time += 1, order += 'a'; },
                                                          [&] { time += 4, order += 'b'; }};
  const RaceSeconds seconds = race(contestants, 3, [&] { return time; });
  EXPECT_EQ(order, "ababab");
  EXPECT_THAT(seconds, ElementsAre(ElementsAre(1, 1, 1), ElementsAre(4, 4, 4)));
  EXPECT_THAT(ratios(seconds[1], seconds[0]), ElementsAre(4, 4, 4));
}

TEST(Race, HasAClockThatGoesOn) {
  const double start = steady_seconds();
  EXPECT_GE(steady_seconds(), start);
}

TEST(Quartiles, AreTakenFromTheOrderedValues) {
  const Quartiles odd = quartiles({5, 1, 3, 2, 4});
  EXPECT_THAT((std::vector{odd.lower, odd.median, odd.upper}), ElementsAre(2, 3, 4));
  const Quartiles even = quartiles({4, 1, 3, 2});
  EXPECT_THAT((std::vector{even.lower, even.median, even.upper}), ElementsAre(1.75, 2.5, 3.25));
  const Quartiles one = quartiles({7});
  EXPECT_THAT((std::vector{one.lower, one.median, one.upper}), ElementsAre(7, 7, 7));
}

}  // namespace
}  // namespace lowrank
