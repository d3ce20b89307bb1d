// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/predict_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/config.h"
#include "tests/cli/tiny_task.h"

namespace lowrank::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

class PredictCommand : public ::testing::Test {
 protected:
  static void SetUpTestSuite() {
    task = std::make_unique<TinyTask>();
    const Ran ran = lowrank({"train", task->recipe()});
    ASSERT_EQ(ran.status, 0) << ran.err;
    write_text(task->path("new/digits.txt"), TinyTask::text('0', 1000));
    write_text(task->path("new/letters.txt"), TinyTask::text('k', 1000));
    std::string both;
    for (int i = 0; i < 4; ++i) both += TinyTask::text(i < 3 ? 'k' : '0', 1000 + i);
    write_text(task->path("long.txt"), both);
  }
  static void TearDownTestSuite() { task.reset(); }

  // The JSON objects that a run printed, one a line.
  static std::vector<Json> objects(const Ran& ran) {
    std::vector<Json> all;
    std::istringstream lines(ran.out);
    for (std::string line; std::getline(lines, line);) all.push_back(parse_json(line, "predict"));
    return all;
  }
  static std::string label(const Json& object) { return object["labels"][0]["label"]; }

  static inline std::unique_ptr<TinyTask> task;
};

TEST_F(PredictCommand, LabelsTheFilesOfAFolderInOrder) {
  const Ran ran = lowrank({"predict", task->model(), task->path("new")});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, StartsWith(task->path("new/digits.txt") + "   digits "));
  EXPECT_THAT(ran.out, HasSubstr(task->path("new/letters.txt") + "  letters "));
}

TEST_F(PredictCommand, PrintsProbabilitiesThatSumToOneAsJson) {
  const Ran ran = lowrank({"predict", task->model(), task->path("new"), "--json"});
  const std::vector<Json> all = objects(ran);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(label(all[0]), "digits");
  EXPECT_EQ(label(all[1]), "letters");
  for (const Json& object : all) {
    double sum = 0;
    for (const Json& entry : object["labels"]) sum += entry["probability"].get<double>();
    EXPECT_NEAR(sum, 1, 1e-6);
  }
}

TEST_F(PredictCommand, PrintsAsManyClassesAsAskedFor) {
  const Ran ran = lowrank({"predict", task->model(), task->path("new"), "--json", "--top", "1"});
  for (const Json& object : objects(ran)) EXPECT_EQ(object["labels"].size(), 1u);
}

TEST_F(PredictCommand, LabelsStandardInputAsOneDocumentOrLineByLine) {
  const std::string input = TinyTask::text('0', 1) + "\n" + TinyTask::text('k', 2) + "\n";
  const std::vector<Json> whole =
      objects(lowrank({"predict", task->model(), "--json", "--on-overflow", "truncate"}, input));
  ASSERT_EQ(whole.size(), 1u);
  EXPECT_EQ(whole[0]["source"], "stdin");
  const std::vector<Json> lines =
      objects(lowrank({"predict", task->model(), "--json", "--lines"}, input));
  ASSERT_EQ(lines.size(), 2u);
  EXPECT_EQ(lines[1]["source"], "stdin:2");
  EXPECT_EQ(label(lines[0]), "digits");
  EXPECT_EQ(label(lines[1]), "letters");
}

TEST_F(PredictCommand, NamesAMissingFileAndStillLabelsTheOthers) {
  const Ran ran = lowrank({"predict", task->model(), task->path("new/digits.txt"),
                           task->path("absent.txt"), task->path("new/letters.txt"), "--json"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("lowrank predict: "));
  EXPECT_THAT(ran.err, HasSubstr(task->path("absent.txt")));
  EXPECT_EQ(objects(ran).size(), 2u);
}

TEST_F(PredictCommand, NamesAnEmptyLineAndStillLabelsTheOthers) {
  const Ran ran = lowrank({"predict", task->model(), "--lines", "--json"}, "123 456\n\n789 012\n");
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("stdin:2 is empty"));
  EXPECT_EQ(objects(ran).size(), 2u);
}

TEST_F(PredictCommand, RefusesOverlongInputWhereAsked) {
  const Ran ran = lowrank(
      {"predict", task->model(), task->path("long.txt"), "--on-overflow", "error", "--json"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("long.txt"));
  EXPECT_THAT(ran.err, HasSubstr("128"));
  EXPECT_THAT(ran.out, IsEmpty());
}

TEST_F(PredictCommand, SaysOnceHowManyTextsItTruncatedAndToWhat) {
  const auto said = [](const std::vector<std::string>& arguments) {
    std::vector<std::string> all = {"predict", task->model(), "--json"};
    all.insert(all.end(), arguments.begin(), arguments.end());
    const Ran ran = lowrank(all);
    EXPECT_EQ(ran.status, 0) << ran.err;
    return ran.err;
  };
  const std::string longer = task->path("long.txt"), shorter = task->path("new/digits.txt");
  EXPECT_EQ(said({longer, shorter, longer}),
            "lowrank predict: only the first 128 tokens of 2 texts were read. Use --on-overflow "
            "chunk to label the whole of each.\n");
  EXPECT_THAT(said({shorter}), IsEmpty());
  EXPECT_THAT(said({longer, "--on-overflow", "chunk"}), IsEmpty());
}

// The pieces are mostly letters, and so is their mean; cut at the end only the first piece counts.
TEST_F(PredictCommand, LabelsAllPiecesOfOverlongInputWhereAsked) {
  const auto letters = [](const Json& object) {
    for (const Json& entry : object["labels"]) {
      if (entry["label"] == "letters") return entry["probability"].get<double>();
    }
    return 0.0;
  };
  const std::vector<Json> cut = objects(lowrank(
      {"predict", task->model(), task->path("long.txt"), "--on-overflow", "truncate", "--json"}));
  const std::vector<Json> pieces = objects(lowrank(
      {"predict", task->model(), task->path("long.txt"), "--on-overflow", "chunk", "--json"}));
  ASSERT_EQ(cut.size(), 1u);
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(label(pieces[0]), "letters");
  EXPECT_LT(letters(pieces[0]), letters(cut[0]));
}

TEST_F(PredictCommand, NeedsAClassifier) {
  const TinyTask language;
  const Ran trained =
      lowrank({"train", language.recipe(), "--set", "data.format=text", "--set", "data.classes={}",
               "--set", "data.train='" + language.path("letters") + "/*.txt'", "--set",
               "model.task=masked_language_model", "--set", "train.steps=2"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  const Ran ran = lowrank({"predict", language.model(), task->path("long.txt")});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("masked language model, which has no classes"));
  EXPECT_THAT(lowrank({"eval", language.model()}).out, HasSubstr("perplexity"));
}

}  // namespace
}  // namespace lowrank::testing
