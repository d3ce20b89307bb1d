// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/train_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/config.h"
#include "lowrank/base/file.h"
#include "tests/cli/signal_on.h"
#include "tests/cli/tiny_task.h"

namespace lowrank::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string weights(const TinyTask& task) {
  return read_file(std::filesystem::path(task.model()) / "last" / "model.safetensors");
}

TEST(TrainCommand, TellsOfTheRunOnErrAndOfItsResultOnOut) {
  const TinyTask task;
  const Ran ran = lowrank({"train", task.recipe()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("model: classification into 2 classes; "));
  EXPECT_THAT(ran.err, HasSubstr("step 20  loss "));
  EXPECT_THAT(ran.err, HasSubstr("validation: accuracy "));
  EXPECT_THAT(ran.err, Not(HasSubstr("\x1b")));  // no terminal, no color
  EXPECT_THAT(ran.out, HasSubstr("trained 40 steps in "));
  EXPECT_THAT(ran.out, HasSubstr("best model: " + task.model() + "/best (validation: accuracy "));
  EXPECT_THAT(ran.out, HasSubstr("lowrank predict " + task.model()));
}

TEST(TrainCommand, TakesSettingsBeforeAndAfterTheRecipe) {
  const TinyTask task;
  const Ran ran =
      lowrank({"train", "--set", "train.steps=3", task.recipe(), "--set", "model.layers=2"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("2 layers"));
  EXPECT_THAT(ran.out, HasSubstr("trained 3 steps"));
}

class Interrupted : public ::testing::TestWithParam<int> {};

TEST_P(Interrupted, ASignalSavesTheStateAndTheResumedRunEndsWithTheSameBits) {
  const TinyTask task;
  SignalOn buffer("step 10 ", GetParam());
  std::ostream err(&buffer);
  std::istringstream in;
  std::ostringstream out;
  EXPECT_EQ(cli::run_program({"train", task.recipe()}, {in, out, err}), 130);
  EXPECT_THAT(buffer.str(), HasSubstr("lowrank train: interrupted after 10 steps; the state is "
                                      "saved in " +
                                      task.model() +
                                      "/last. Go on with: lowrank "
                                      "train " +
                                      task.recipe() + " --resume\n"));
  ASSERT_EQ(lowrank({"train", task.recipe(), "--resume"}).status, 0);
  const std::string resumed = weights(task);

  std::filesystem::remove_all(task.model());
  ASSERT_EQ(lowrank({"train", task.recipe()}).status, 0);
  EXPECT_EQ(resumed, weights(task));
}

INSTANTIATE_TEST_SUITE_P(Signals, Interrupted, ::testing::Values(SIGINT, SIGTERM));

TEST(TrainCommand, RefusesToOverwriteARun) {
  const TinyTask task;
  ASSERT_EQ(lowrank({"train", task.recipe(), "--set", "train.steps=2"}).status, 0);
  const Ran again = lowrank({"train", task.recipe(), "--set", "train.steps=2"});
  EXPECT_EQ(again.status, 1);
  EXPECT_THAT(again.err, HasSubstr("--resume"));
}

TEST(TrainCommand, NamesTheBadRowUnlessToldToSkipIt) {
  const TinyTask task;
  std::string rows = "text\tlabel\n";
  for (int i = 0; i < 60; ++i) {
    rows += TinyTask::text('0', i) + "\tdigits\n" + TinyTask::text('k', i) + "\tletters\n";
  }
  write_text(task.path("rows.tsv"), rows + "a row without a label\n");
  const std::vector<std::string> arguments = {
      "train", task.recipe(),     "--set", "data.format=tsv",
      "--set", "data.classes={}", "--set", "data.train='" + task.path("rows.tsv") + "'",
      "--set", "train.steps=2"};
  const Ran failed = lowrank(arguments);
  EXPECT_EQ(failed.status, 1);
  EXPECT_THAT(failed.err, HasSubstr("rows.tsv:122"));

  std::vector<std::string> skipping = arguments;
  skipping.push_back("--skip-bad");
  const Ran skipped = lowrank(skipping);
  EXPECT_EQ(skipped.status, 0) << skipped.err;
}

}  // namespace
}  // namespace lowrank::testing
