// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/vocabulary_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/config.h"
#include "lowrank/base/file.h"
#include "tests/cli/tiny_task.h"

namespace lowrank::testing {
namespace {

using ::testing::HasSubstr;

// A vocabulary is made, a masked language model learns with it, and a classifier starts from that model;
// each folder stands alone, whatever becomes of those before it.
TEST(VocabularyCommand, MakesATokenizerThatModelsAreTrainedWith) {
  const TinyTask task;
  const std::string vocabulary = task.path("vocabulary"), language = task.path("language");
  const Ran made = lowrank(
      {"vocabulary", vocabulary, task.path("digits"), task.path("letters"), "--size", "200"});
  ASSERT_EQ(made.status, 0) << made.err;
  EXPECT_THAT(made.out, HasSubstr("200 tokens in " + vocabulary + "/vocab.txt, from 120 files"));

  std::string documents;
  for (int i = 0; i < 40; ++i) documents += TinyTask::text(i % 2 ? '0' : 'k', i) + "\n\n";
  write_text(task.path("documents.txt"), documents);
  write_text(task.path("language.toml"), fmt::format(R"(
[data]
format = "text"
train = ["{0}/documents.txt"]
max_length = 48
packed = true
[model]
task = "masked_language_model"
tokenizer = "{0}/vocabulary"
width = 16
layers = 1
feed_forward = 32
sentence_order = true
embeddings = {{ max_positions = 64, segments = 2 }}
[train]
output = "{0}/language"
steps = 10
special_tokens = true
)",
                                                     task.path("")));
  const Ran trained = lowrank({"train", task.path("language.toml")});
  ASSERT_EQ(trained.status, 0) << trained.err;
  const std::string config = read_file(language + "/best/config.json");
  EXPECT_THAT(config, HasSubstr("\"tokenizer\": \"files\""));
  EXPECT_THAT(config, HasSubstr("\"vocabulary\": 200"));

  std::filesystem::remove_all(vocabulary);
  const Ran evaluated = lowrank({"eval", language, "--split", "validation"});
  EXPECT_EQ(evaluated.status, 0) << evaluated.err;

  write_text(task.path("classifier.toml"), fmt::format(R"(
[data]
max_length = 64
[data.classes]
digits = ["{0}/digits"]
letters = ["{0}/letters"]
[model]
pooling = "mean"
[train]
output = "{0}/classifier"
start_from = "{0}/language"
steps = 10
special_tokens = true
)",
                                                       task.path("")));
  const Ran classifier = lowrank({"train", task.path("classifier.toml")});
  ASSERT_EQ(classifier.status, 0) << classifier.err;
  EXPECT_THAT(classifier.err, HasSubstr("note: Starts from "));
  EXPECT_THAT(classifier.err, HasSubstr("new: classifier.weight, classifier.bias; unused: "));
  std::filesystem::remove_all(language);
  EXPECT_EQ(lowrank({"predict", task.path("classifier"), task.path("digits/0.txt")}).status, 0);
}

TEST(VocabularyCommand, RefusesAFolderThatHoldsFilesAndTextsThatAreNotThere) {
  const TinyTask task;
  EXPECT_EQ(lowrank({"vocabulary", task.path("digits"), task.path("letters")}).status, 2);
  const Ran ran = lowrank({"vocabulary", task.path("new"), task.path("absent")});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("absent"));
  EXPECT_FALSE(std::filesystem::exists(task.path("new")));
}

}  // namespace
}  // namespace lowrank::testing
