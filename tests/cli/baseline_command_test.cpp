// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/baseline_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/config.h"
#include "tests/cli/tiny_task.h"

namespace lowrank::testing {
namespace {

using ::testing::HasSubstr;

TEST(BaselineCommand, MeasuresALinearModelOnTheTestSplit) {
  const TinyTask task;
  const Ran text = lowrank({"baseline", task.recipe()});
  ASSERT_EQ(text.status, 0) << text.err;
  EXPECT_THAT(text.out, HasSubstr("linear model on byte trigrams, test: accuracy "));
  const Json json = parse_json(lowrank({"baseline", task.recipe(), "--json"}).out, "baseline");
  EXPECT_GE(json["accuracy"].get<double>(), 0.9);
}

}  // namespace
}  // namespace lowrank::testing
