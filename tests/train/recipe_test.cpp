// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/recipe.h"

#include <gtest/gtest.h>

#include <cstdlib>

#include "lowrank/models/model_directory.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/synthetic.h"

namespace lowrank::train {
namespace {

using lowrank::testing::expect_error;
using lowrank::testing::TemporaryFolder;

constexpr const char* kRecipe = R"(
[data]
max_length = 128
[data.classes]
headers = ["/usr/include"]
python = "~/python"

[model]
width = 32
attention = {kind = "nystrom", landmarks = 16, conv = 5}
[model.embeddings]
kind = "ngrams"
patch = 8

[train]
output = "runs/x"
minutes = 2
learning_rate = 2e-3
beta2 = 0.95
schedule = "one_cycle"
precision = "bfloat16"
)";

class LoadRecipe : public ::testing::Test {
 protected:
  Recipe load(const std::string& text, const std::vector<std::string>& settings = {}) {
    const std::filesystem::path path = folder_.path() / "recipe.toml";
    replace_file(path, text);
    return load_recipe(path, settings);
  }
  TemporaryFolder folder_;
};

TEST_F(LoadRecipe, ReadsEveryTable) {
  const Recipe recipe = load(kRecipe);
  EXPECT_EQ(recipe.data.max_length, 128);
  ASSERT_EQ(recipe.data.classes.size(), 2u);
  EXPECT_EQ(recipe.data.classes[0].first, "headers");
  EXPECT_EQ(recipe.model.width, 32);
  EXPECT_EQ(std::get<NystromOptions>(recipe.model.attention[0]).landmarks, 16);
  EXPECT_EQ(recipe.model.embeddings.patch, 8);
  EXPECT_EQ(recipe.train.output, "runs/x");
  EXPECT_EQ(recipe.train.minutes, 2);
  EXPECT_EQ(recipe.train.betas, (std::array{0.9, 0.95}));
  EXPECT_EQ(recipe.train.schedule, Schedule::kOneCycle);
  EXPECT_EQ(recipe.train.precision, Precision::kBfloat16);
}

TEST_F(LoadRecipe, PutsSettingsOverTheFile) {
  const Recipe recipe = load(
      kRecipe, {"train.steps=7", "train.output=elsewhere", "model.attention={kind = \"exact\"}"});
  EXPECT_EQ(recipe.train.steps, 7);
  EXPECT_EQ(recipe.train.output, "elsewhere");
  EXPECT_TRUE(std::holds_alternative<ExactOptions>(recipe.model.attention[0]));
}

TEST_F(LoadRecipe, ComesBackFromItsSavedForm) {
  const Recipe recipe = load(kRecipe);
  save_recipe(recipe, folder_.path());
  EXPECT_EQ(to_json(load_saved_recipe(folder_.path())), to_json(recipe));
}

TEST_F(LoadRecipe, NamesWhatIsWrong) {
  expect_error([&] { load_recipe(folder_.path() / "absent.toml"); }, {"absent.toml"});
  expect_error([&] { load("train = 3"); }, {"recipe.toml", "train"});
  expect_error([&] { load("[train]\nminute = 2"); }, {"minute", "minutes"});
  expect_error([&] { load(kRecipe, {"train.schedule=cosin"}); }, {"train.schedule", "cosine"});
  expect_error([&] { load(kRecipe, {"train.warmup=2"}); }, {"train.warmup", "from 0 to 1"});
}

TEST_F(LoadRecipe, AsksForAnEndOfTheRun) {
  expect_error([&] { load("[train]\nlearning_rate = 1"); }, {"train.minutes", "minutes = 2"});
}

TEST_F(LoadRecipe, AsksForTheTokenThatClsPoolingReads) {
  expect_error([&] { load(kRecipe, {"model.pooling=cls"}); }, {"train.special_tokens"});
  const Recipe recipe = load(kRecipe, {"model.pooling=cls", "train.special_tokens=true"});
  EXPECT_TRUE(batch_options(recipe).special_tokens);
}

TEST_F(LoadRecipe, AsksForAPositionForEveryRow) {
  expect_error([&] { load(kRecipe, {"data.max_length=16392"}); }, {"2049 rows", "16384"});
  EXPECT_EQ(load(kRecipe, {"data.max_length=16384"}).data.max_length, 16384);
}

TEST_F(LoadRecipe, RefusesATaskThatTrainingDoesNotKnow) {
  expect_error([&] { load(kRecipe, {"model.task=question_answering"}); },
               {"question answering model", "masked_language_model"});
}

TEST_F(LoadRecipe, AsksForLabelledWordsWhereTheTaskNeedsThem) {
  expect_error([&] { load(kRecipe, {"model.task=token_classification"}); },
               {"labelled words", "conll"});
}

TEST_F(LoadRecipe, TakesTheMetricOfAGlueTaskUnlessToldOtherwise) {
  Recipe recipe;
  EXPECT_EQ(metric_of(recipe), Metric::kDefault);
  recipe.data.format = data::Format::kGlue;
  recipe.data.task = "cola";
  EXPECT_EQ(metric_of(recipe), Metric::kMatthews);
  recipe.data.task = "mrpc";
  EXPECT_EQ(metric_of(recipe), Metric::kF1);
  recipe.train.metric = Metric::kLoss;
  EXPECT_EQ(metric_of(recipe), Metric::kLoss);
}

TEST_F(LoadRecipe, SaysHowBatchesAreMade) {
  Recipe recipe = load(kRecipe, {"train.batch_size=3", "train.seed=5", "data.on_overflow=error"});
  const data::BatchOptions options = batch_options(recipe);
  EXPECT_EQ(options.batch_size, 3);
  EXPECT_EQ(options.seed, 5u);
  EXPECT_EQ(options.max_length, 128);
  EXPECT_EQ(options.on_overflow, "error");
  EXPECT_FALSE(options.masked);
  recipe.model.task = models::Task::kMaskedLanguageModel;
  EXPECT_TRUE(batch_options(recipe).masked);
}

TEST_F(LoadRecipe, AsksForWhatPackedDataAndSentenceOrderNeed) {
  expect_error([&] { load(kRecipe, {"data.packed=true"}); }, {"data.packed", "classifier"});
  const std::vector<std::string> language = {"model.task=masked_language_model",
                                             "model.embeddings={}", "data.max_length=64",
                                             "model.sentence_order=true"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), language.begin(), language.end());
    return load(kRecipe, more);
  };
  expect_error([&] { with({"train.special_tokens=true"}); }, {"sentence_order", "data.packed"});
  expect_error([&] { with({"data.packed=true"}); }, {"sentence_order", "train.special_tokens"});
  EXPECT_TRUE(
      batch_options(with({"data.packed=true", "train.special_tokens=true"})).sentence_order);
}

TEST_F(LoadRecipe, TakesWhatItLeavesOutFromTheModelToStartFrom) {
  models::ModelConfig config;
  config.width = 24;
  config.layers = 3;
  config.task = models::Task::kMaskedLanguageModel;
  config.attention = {ExactOptions{}};
  const std::filesystem::path from = folder_.path() / "from";
  std::filesystem::create_directories(from);
  models::save_model(models::Model(config), from);
  const std::string recipe_text =
      "[data.classes]\na = \"/a\"\nb = \"/b\"\n[model]\nlayers = 2\n[train]\nsteps = 1\n"
      "start_from = \"${FROM}\"\n";
  ::setenv("FROM", from.c_str(), 1);
  const Recipe recipe = load(recipe_text, {"data.max_length=64"});
  EXPECT_EQ(recipe.train.start_from, from.string());
  EXPECT_EQ(recipe.model.width, 24);
  EXPECT_EQ(recipe.model.layers, 2);
  EXPECT_EQ(recipe.model.task, models::Task::kClassification);
  EXPECT_TRUE(std::holds_alternative<ExactOptions>(recipe.model.attention[0]));
}

}  // namespace
}  // namespace lowrank::train
