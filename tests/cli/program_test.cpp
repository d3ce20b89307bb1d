// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/cli/tiny_task.h"

namespace lowrank::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class EveryCommand : public ::testing::TestWithParam<const char*> {};

TEST_P(EveryCommand, HasAHelpWithAnExampleOfItself) {
  const Ran ran = lowrank({GetParam(), "--help"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.out, HasSubstr(std::string("EXAMPLE\n  lowrank ") + GetParam()));
  EXPECT_THAT(ran.err, IsEmpty());
}

TEST_P(EveryCommand, NamesTheKnownFlagNearestToAnUnknownOne) {
  const Ran ran = lowrank({GetParam(), "argument", "--hepl"});
  EXPECT_EQ(ran.status, 2);
  EXPECT_EQ(ran.err, fmt::format("lowrank {0}: unknown flag --hepl. Did you mean --help? See "
                                 "\"lowrank {0} --help\".\n",
                                 GetParam()));
}

TEST_P(EveryCommand, FailsWithOneSentenceWhereItsArgumentIsMissing) {
  const Ran ran = lowrank({GetParam(), "/nowhere/at-all"});
  EXPECT_NE(ran.status, 0);
  EXPECT_THAT(ran.err, StartsWith(fmt::format("lowrank {}: ", GetParam())));
  EXPECT_THAT(ran.err, HasSubstr("/nowhere/at-all"));
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1);
  EXPECT_THAT(ran.out, IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(All, EveryCommand,
                         ::testing::Values("train", "eval", "predict", "data", "info", "baseline",
                                           "bench", "analyze"),
                         [](const auto& test) { return std::string(test.param); });

TEST(Program, ListsItsCommandsInTheHelp) {
  const Ran ran = lowrank({"--help"});
  EXPECT_EQ(ran.status, 0);
  for (const char* command :
       {"train", "eval", "predict", "data", "info", "baseline", "bench", "analyze"}) {
    EXPECT_THAT(ran.out, HasSubstr(std::string("\n  ") + command + " "));
  }
}

TEST(Program, PrintsItsVersion) {
  const Ran ran = lowrank({"--version"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.out, ::testing::MatchesRegex("lowrank [0-9]+\\.[0-9]+\\.[0-9]+\n"));
}

TEST(Program, NamesTheKnownCommandNearestToAnUnknownOne) {
  const Ran ran = lowrank({"trian", "recipe.toml"});
  EXPECT_EQ(ran.status, 2);
  EXPECT_EQ(ran.err,
            "lowrank: unknown command \"trian\". Did you mean train? See \"lowrank --help\".\n");
}

TEST(Program, NeedsACommand) {
  const Ran ran = lowrank({});
  EXPECT_EQ(ran.status, 2);
  EXPECT_EQ(ran.err, "lowrank: a command is needed. See \"lowrank --help\".\n");
}

TEST(Program, NamesTheArgumentThatIsNeeded) {
  const Ran ran = lowrank({"train"});
  EXPECT_EQ(ran.status, 2);
  EXPECT_EQ(ran.err, "lowrank train: RECIPE is required. See \"lowrank train --help\".\n");
}

TEST(Program, SaysWhichValuesAFlagTakes) {
  const Ran ran = lowrank({"predict", "model", "--top", "0"});
  EXPECT_EQ(ran.status, 2);
  EXPECT_EQ(ran.err,
            "lowrank predict: --top = 0 is not a whole number from 1 to 1000. See \"lowrank "
            "predict --help\".\n");
}

TEST(Program, NamesTheChoiceNearestToAnUnknownOne) {
  const Ran ran = lowrank({"eval", "model", "--split", "tset"});
  EXPECT_EQ(ran.status, 2);
  EXPECT_EQ(
      ran.err,
      "lowrank eval: --split = tset is not one of test, validation, train. Did you mean test? "
      "See \"lowrank eval --help\".\n");
}

TEST(Program, NamesTheKnownKeyNearestToAnUnknownOneOfARecipe) {
  const TinyTask task;
  const Ran ran = lowrank({"train", task.recipe(), "--set", "train.learning_rat=0.1"});
  EXPECT_EQ(ran.status, 2);
  EXPECT_THAT(ran.err, StartsWith("lowrank train: "));
  EXPECT_THAT(ran.err, HasSubstr("\"train.learning_rat\" is not known"));
  EXPECT_THAT(ran.err, HasSubstr("Did you mean \"train.learning_rate\"?"));
}

}  // namespace
}  // namespace lowrank::testing
