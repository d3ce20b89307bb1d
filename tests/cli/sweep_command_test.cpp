// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/sweep_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/config.h"
#include "lowrank/base/file.h"
#include "tests/cli/signal_on.h"
#include "tests/cli/tiny_task.h"

namespace lowrank::testing {
namespace {

using ::testing::HasSubstr;

TEST(SweepCommand, TrainsEachValueAndPrintsOneTable) {
  const TinyTask task;
  const std::string json = task.path("sweep.json");
  const Ran ran = lowrank({"sweep", task.recipe(), "--over",
                           R"(model.attention={kind="exact"},{kind="nystrom", landmarks=4})",
                           "--over", "train.seed=1,2", "--json", json});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("run 4 of 4: nystrom landmarks 4, 2"));
  EXPECT_THAT(ran.out, HasSubstr("model.attention      train.seed  accuracy"));
  EXPECT_EQ(std::count(ran.out.begin(), ran.out.end(), '\n'), 5);
  const Json results = Json::parse(read_file(json));
  ASSERT_EQ(results.size(), 4u);
  EXPECT_EQ(results[1]["settings"]["train.seed"], "2");
  EXPECT_EQ(results[0]["steps"], 40);
  EXPECT_GT(results[0]["accuracy"].get<double>(), 0.5);
  EXPECT_TRUE(std::filesystem::exists(task.model() + "/attention=exact,seed=2/best/config.json"));
}

TEST(SweepCommand, GoesOnWhereASignalStoppedIt) {
  const TinyTask task;
  const std::vector<std::string> arguments = {"sweep", task.recipe(), "--over", "train.seed=1,2"};
  SignalOn buffer("run 2 of 2", SIGINT);
  std::ostream err(&buffer);
  std::istringstream in;
  std::ostringstream out;
  EXPECT_EQ(cli::run_program(arguments, {in, out, err}), 130);
  EXPECT_THAT(buffer.str(), HasSubstr("interrupted after 1 of 2 runs"));
  const auto record = task.model() + "/seed=1/metrics.jsonl";
  const std::string before = read_file(record);
  const Ran again = lowrank(arguments);
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(read_file(record), before);
  EXPECT_TRUE(std::filesystem::exists(task.model() + "/seed=2/best/config.json"));
}

// A rate that makes the loss infinite ends that run alone.
TEST(SweepCommand, TellsOfAFailedRunAndGoesOn) {
  const TinyTask task;
  const Ran ran = lowrank({"sweep", task.recipe(), "--set", "train.clip=0", "--set",
                           "train.schedule=constant", "--over", "train.learning_rate=1000,0.01"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.out, HasSubstr("failed: 1000: train: the "));
  EXPECT_TRUE(std::filesystem::exists(task.model() + "/learning_rate=0.01/best/config.json"));
}

TEST(SweepCommand, RefusesWhatIsNoRecipeBeforeTheFirstRun) {
  const TinyTask task;
  const Ran ran = lowrank({"sweep", task.recipe(), "--over", "model.heads=2,0"});
  EXPECT_EQ(ran.status, 2);
  EXPECT_THAT(ran.err, HasSubstr("model.heads = 0"));
  EXPECT_FALSE(std::filesystem::exists(task.model()));
}

}  // namespace
}  // namespace lowrank::testing
