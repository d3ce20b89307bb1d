// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/schedule.h"

#include <gtest/gtest.h>

#include <utility>

namespace lowrank::train {
namespace {

TrainOptions options(Schedule schedule, double warmup, double final_rate = 0) {
  TrainOptions options;
  options.schedule = schedule;
  options.warmup = warmup;
  options.final_rate = final_rate;
  return options;
}

TEST(RateShare, RisesInALineOverTheWarmup) {
  for (const Schedule schedule : {Schedule::kConstant, Schedule::kLinear, Schedule::kCosine}) {
    EXPECT_DOUBLE_EQ(rate_share(options(schedule, 0.2), 0), 0);
    EXPECT_DOUBLE_EQ(rate_share(options(schedule, 0.2), 0.05), 0.25);
    EXPECT_DOUBLE_EQ(rate_share(options(schedule, 0.2), 0.2), 1);
  }
}

TEST(RateShare, StaysWhenConstant) {
  EXPECT_DOUBLE_EQ(rate_share(options(Schedule::kConstant, 0.2, 0.1), 1), 1);
}

TEST(RateShare, FallsInALineToTheFinalRate) {
  EXPECT_DOUBLE_EQ(rate_share(options(Schedule::kLinear, 0.2, 0.1), 0.6), 0.55);
  EXPECT_DOUBLE_EQ(rate_share(options(Schedule::kLinear, 0.2, 0.1), 1), 0.1);
}

TEST(RateShare, FallsAlongHalfACosineToTheFinalRate) {
  EXPECT_NEAR(rate_share(options(Schedule::kCosine, 0.2, 0.1), 0.4), 0.1 + 0.9 * 0.8535533905932737,
              1e-15);
  EXPECT_NEAR(rate_share(options(Schedule::kCosine, 0.2, 0.1), 0.6), 0.55, 1e-15);
  EXPECT_NEAR(rate_share(options(Schedule::kCosine, 0.2, 0.1), 1), 0.1, 1e-15);
}

// Recorded from torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=101, pct_start=21/101,
// anneal_strategy="linear"): its step n of 0 to 100 is the share n / 100, its peak at step 20.
TEST(RateShare, FollowsTorchsOneCycle) {
  const std::pair<double, double> recorded[] = {{0, 0.04},       {0.05, 0.28},       {0.2, 1.0},
                                                {0.6, 0.500002}, {0.99, 0.01250395}, {1, 4e-06}};
  for (const auto& [share, rate] : recorded) {
    EXPECT_NEAR(rate_share(options(Schedule::kOneCycle, 0.2), share), rate, 1e-14) << share;
  }
}

TEST(RateShare, NeedsNoWarmupAndTakesOneOfTheWholeRun) {
  EXPECT_DOUBLE_EQ(rate_share(options(Schedule::kLinear, 0), 0), 1);
  EXPECT_DOUBLE_EQ(rate_share(options(Schedule::kLinear, 1), 0.5), 0.5);
  EXPECT_DOUBLE_EQ(rate_share(options(Schedule::kLinear, 1), 1), 1);
}

TEST(RateShare, StaysAtTheEndWhenTheClockOvershoots) {
  EXPECT_DOUBLE_EQ(rate_share(options(Schedule::kLinear, 0.2, 0.1), 1.3), 0.1);
}

}  // namespace
}  // namespace lowrank::train
