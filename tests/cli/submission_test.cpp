// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/submission.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/config.h"
#include "lowrank/base/file.h"
#include "tests/cli/tiny_task.h"

namespace lowrank::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::MatchesRegex;

// A few rows in GLUE's layout, a recipe, and a model that was trained on them for two steps.
class Submission : public ::testing::Test {
 protected:
  Ran train(const std::string& task, const std::string& test_file = "test.tsv") {
    const bool scores = task == "stsb";
    const std::string columns = scores ? "sentence1\tsentence2" : "sentence";
    const std::string row = scores ? "a plane\ta bird" : "a plane";
    folder_.write("train.tsv", columns + (scores ? "\tscore\n" : "\tlabel\n") + row + "\t1\n" +
                                   row + " too\t0\n");
    folder_.write("dev.tsv",
                  columns + (scores ? "\tscore\n" : "\tlabel\n") + row + "s\t1\n" + row + "!\t0\n");
    folder_.write(test_file, "index\t" + columns + "\n0\t" + row + "\n1\t" + row + "?\n");
    folder_.write("recipe.toml", fmt::format(R"(
[data]
format = "glue"
task = "{0}"
folder = "{1}"
max_length = 64
[model]
width = 8
layers = 1
heads = 2
feed_forward = 8
[train]
output = "{1}/run"
steps = 2
threads = 1
)",
                                             task, folder_.path().string()));
    return lowrank({"train", path("recipe.toml")});
  }

  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  TemporaryFolder folder_;
};

TEST_F(Submission, HasALineForEachRowOfTheTestSet) {
  ASSERT_EQ(train("sst2").status, 0);
  const Ran ran = lowrank({"predict", path("run"), "--submission", path("out")});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("SST-2.tsv  2 rows"));
  EXPECT_THAT(read_file(path("out/SST-2.tsv")),
              MatchesRegex("index\tprediction\n0\t[01]\n1\t[01]\n"));
}

TEST_F(Submission, KeepsScoresFromZeroToFive) {
  ASSERT_EQ(train("stsb").status, 0);
  const Ran ran = lowrank({"predict", path("run"), "--submission", path("out")});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(read_file(path("out/STS-B.tsv")),
              MatchesRegex("index\tprediction\n0\t[0-5].[0-9]+\n1\t[0-5].[0-9]+\n"));
}

TEST_F(Submission, NamesAMissingTestSetAndWritesNothing) {
  ASSERT_EQ(train("sst2", "other.tsv").status, 0);
  const Ran ran = lowrank({"predict", path("run"), "--submission", path("out")});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("has no test.tsv"));
  EXPECT_FALSE(std::filesystem::exists(path("out")));
}

TEST_F(Submission, IsForGlueAndTakesNoOtherInput) {
  const TinyTask task;
  ASSERT_EQ(lowrank({"train", task.recipe(), "--set", "train.steps=1"}).status, 0);
  const Ran other = lowrank({"predict", task.model(), "--submission", path("out")});
  EXPECT_EQ(other.status, 1);
  EXPECT_THAT(other.err, HasSubstr("was not trained on a task of GLUE"));
  const Ran both = lowrank({"predict", task.model(), "x.txt", "--submission", path("out")});
  EXPECT_EQ(both.status, 2);
  EXPECT_THAT(both.err, HasSubstr("Leave the other inputs out"));
}

// The benchmark keeps the labels of its test sets to itself.
TEST_F(Submission, LeavesEvalAndBaselineTheValidationSplit) {
  ASSERT_EQ(train("sst2").status, 0);
  EXPECT_THAT(lowrank({"eval", path("run")}).out, HasSubstr("validation: accuracy"));
  EXPECT_THAT(lowrank({"baseline", path("recipe.toml")}).out, HasSubstr("validation: accuracy"));
  const Ran test = lowrank({"eval", path("run"), "--split", "test"});
  EXPECT_EQ(test.status, 1);
  EXPECT_THAT(test.err, HasSubstr("test.tsv:2 has no label"));
  EXPECT_THAT(lowrank({"data", path("recipe.toml")}).out, HasSubstr("(no label)"));
}

TEST_F(Submission, ComesOfAModelWhoseNumbersEvalAndPredictPrint) {
  ASSERT_EQ(train("stsb").status, 0);
  EXPECT_THAT(lowrank({"eval", path("run")}).out, HasSubstr("validation: Pearson"));
  const Json json = parse_json(lowrank({"predict", path("run"), "--json"}, "a plane").out, "json");
  EXPECT_TRUE(json["value"].is_number());
}

}  // namespace
}  // namespace lowrank::testing
