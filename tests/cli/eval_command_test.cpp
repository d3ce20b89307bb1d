// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/eval_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/config.h"
#include "tests/cli/tiny_task.h"

namespace lowrank::testing {
namespace {

using ::testing::HasSubstr;

class EvalCommand : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    task = std::make_unique<TinyTask>();
    const Ran ran = lowrank({"train", task->recipe()});
    ASSERT_EQ(ran.status, 0) << ran.err;
  }
  static void TearDownTestSuite() { task.reset(); }
  static inline std::unique_ptr<TinyTask> task;
};

TEST_F(EvalCommand, PrintsQualityClassesAndConfusionOfTheTestSplit) {
  const Ran ran = lowrank({"eval", task->model()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("test: accuracy "));
  EXPECT_THAT(ran.out, HasSubstr("class    precision"));
  EXPECT_THAT(ran.out, HasSubstr("true \\ predicted  dig  let\n"));
}

TEST_F(EvalCommand, HasLearnedTheTinyTask) {
  const Ran ran = lowrank({"eval", task->model(), "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const Json json = parse_json(ran.out, "eval --json");
  EXPECT_GE(json["accuracy"].get<double>(), 0.9);
  int64_t counted = 0;
  for (const Json& row : json["confusion"]) {
    for (const Json& count : row) counted += count.get<int64_t>();
  }
  EXPECT_EQ(counted, json["count"].get<int64_t>());
  EXPECT_GT(counted, 0);
}

TEST_F(EvalCommand, MeasuresTheSplitAskedFor) {
  const Json test = parse_json(lowrank({"eval", task->model(), "--json"}).out, "test");
  const Json train =
      parse_json(lowrank({"eval", task->model(), "--split", "train", "--json"}).out, "train");
  EXPECT_GT(train["count"], test["count"]);
}

TEST_F(EvalCommand, MatchesOtherDataToTheModelsClassesByName) {
  write_text(task->path("one_class.toml"),
             fmt::format("[data]\nmin_classes = 1\nvalidation_share = 0\ntest_share = 0.9\n"
                         "[data.classes]\nletters = [\"{}\"]\n[train]\nsteps = 1\n"
                         "[model]\nembeddings = {{max_positions = 16384}}\n",
                         task->path("letters")));
  const Ran ran = lowrank({"eval", task->model(), task->path("one_class.toml"), "--set",
                           "data.max_length=128", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const Json json = parse_json(ran.out, "eval --json");
  EXPECT_EQ(json["classes"].size(), 2u);
  EXPECT_EQ(json["classes"][0]["support"], 0);
  EXPECT_EQ(json["classes"][1]["support"], json["count"]);
}

TEST_F(EvalCommand, NamesAClassThatTheModelDoesNotKnow) {
  const Ran ran = lowrank({"eval", task->model(), "--set",
                           "data.classes={digits='" + task->path("digits") + "', words='" +
                               task->path("letters") + "'}"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("class \"words\"; the model knows only digits, letters"));
}

TEST_F(EvalCommand, DrawsTheConfusionMatrixOrSaysWhyNot) {
  const std::string picture = task->path("confusion.png");
  const Ran ran = lowrank({"eval", task->model(), "--picture", picture});
  EXPECT_EQ(ran.status, 0);
  const bool drawn = std::filesystem::exists(picture);
  EXPECT_THAT(ran.err, HasSubstr(drawn ? "picture: " + picture : "note: no picture, "));
}

}  // namespace
}  // namespace lowrank::testing
