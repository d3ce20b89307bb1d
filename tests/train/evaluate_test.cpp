// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/evaluate.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "lowrank/train/inputs.h"
#include "tests/train/synthetic.h"

namespace lowrank::train {
namespace {

using lowrank::testing::expect_error;
using lowrank::testing::make_dataset;
using lowrank::testing::tiny_recipe;
using ::testing::DoubleEq;
using ::testing::ElementsAre;

std::vector<std::string> names(size_t count) {
  std::vector<std::string> all;
  for (size_t i = 0; i < count; ++i) all.push_back("class " + std::to_string(i));
  return all;
}

TEST(Score, AgreesWithScikitLearn) {
  const char* shared = std::getenv("LOWRANK_SHARED");
  const std::filesystem::path file =
      std::filesystem::path(shared ? shared : "") / "golden/metrics/metrics.json";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
  const Json recorded = parse_json(read_file(file), file.string());
  size_t compared = 0;
  for (const Json& set : recorded["sets"]) {
    if (set["kind"] == "regression") continue;
    const Evaluation got =
        score(set["labels"].get<std::vector<int64_t>>(),
              set["predictions"].get<std::vector<int64_t>>(), names(set["classes"].get<size_t>()));
    EXPECT_EQ(got.count, set["n"].get<int64_t>());
    EXPECT_NEAR(got.accuracy, set["accuracy"].get<double>(), 1e-12);
    EXPECT_NEAR(got.macro_f1, set["f1_macro"].get<double>(), 1e-12);
    if (set["kind"] == "binary") {
      EXPECT_NEAR(got.precision[1], set["precision"].get<double>(), 1e-12);
      EXPECT_NEAR(got.recall[1], set["recall"].get<double>(), 1e-12);
      EXPECT_NEAR(got.f1[1], set["f1"].get<double>(), 1e-12);
    }
    ++compared;
  }
  EXPECT_GT(compared, 0u);
}

TEST(Score, CountsTrueAgainstPredictedClasses) {
  const Evaluation got = score({0, 0, 1, 1, 1}, {0, 1, 1, 1, 0}, names(2));
  EXPECT_THAT(got.confusion, ElementsAre(ElementsAre(1, 1), ElementsAre(1, 2)));
  EXPECT_THAT(got.support, ElementsAre(2, 3));
  EXPECT_THAT(got.precision, ElementsAre(DoubleEq(0.5), DoubleEq(2.0 / 3)));
  EXPECT_THAT(got.recall, ElementsAre(DoubleEq(0.5), DoubleEq(2.0 / 3)));
  EXPECT_DOUBLE_EQ(got.accuracy, 0.6);
}

TEST(Score, GivesZeroWhereAShareHasNothingToDivideBy) {
  const Evaluation got = score({0, 0}, {0, 1}, names(4));
  EXPECT_THAT(got.precision, ElementsAre(1, 0, 0, 0));
  EXPECT_THAT(got.recall, ElementsAre(0.5, 0, 0, 0));
  // Classes 2 and 3 occur nowhere and are left out of the mean.
  EXPECT_DOUBLE_EQ(got.macro_f1, (2.0 / 3 + 0) / 2);
}

TEST(Score, RefusesClassesOutsideTheListAndUnequalCounts) {
  expect_error([] { score({0, 2}, {0, 1}, names(2)); }, {"score", "from 0 to 1"});
  expect_error([] { score({0}, {0, 1}, names(2)); }, {"1 true and 2 predicted"});
}

class Evaluate : public ::testing::Test {
 protected:
  Evaluate() : recipe_(tiny_recipe("unused")) {
    at::set_num_threads(1);
    at::manual_seed(3);
    recipe_.model.classes = dataset_.classes;
    model_ = std::make_shared<models::Model>(recipe_.model);
  }

  at::Tensor logits(const data::Example& example) {
    const at::NoGradGuard no_grad;
    const data::EncodedExample encoded = data::encode(example, tokenizer_, batch_options(recipe_));
    const auto n = static_cast<int64_t>(encoded.tokens.size());
    return model_->logits({at::tensor(encoded.tokens), at::tensor({int64_t{0}, n}), {}});
  }

  data::Dataset dataset_ = make_dataset(13, 5);
  text::ByteTokenizer tokenizer_;
  Recipe recipe_;
  std::shared_ptr<models::Model> model_;
};

TEST_F(Evaluate, IsTheMeanOverExamplesWhateverTheBatches) {
  model_->eval();
  double loss = 0, hits = 0;
  for (const data::Example& example : dataset_.examples) {
    const at::Tensor row = logits(example);
    loss -= row.log_softmax(1)[0][example.label].item<double>();
    hits += row.argmax().item<int64_t>() == example.label ? 1 : 0;
  }
  const Evaluation got = evaluate(*model_, dataset_, tokenizer_, batch_options(recipe_));
  EXPECT_EQ(got.count, 13);
  EXPECT_NEAR(got.loss, loss / 13, 1e-6 * std::abs(got.loss));
  EXPECT_DOUBLE_EQ(got.accuracy, hits / 13);
  EXPECT_GT(got.tokens, 0);
}

TEST_F(Evaluate, LeavesTheModelInItsModeAndMakesNoGradients) {
  for (const bool training : {true, false}) {
    model_->train(training);
    evaluate(*model_, dataset_, tokenizer_, batch_options(recipe_));
    EXPECT_EQ(model_->is_training(), training);
  }
  for (const at::Tensor& parameter : model_->parameters()) {
    EXPECT_FALSE(parameter.grad().defined());
  }
}

TEST_F(Evaluate, EndsWhenItsProgressThrows) {
  model_->train();
  const auto give_up = [](int64_t, int64_t) { throw std::runtime_error("enough"); };
  EXPECT_THROW(evaluate(*model_, dataset_, tokenizer_, batch_options(recipe_), give_up),
               std::runtime_error);
  EXPECT_TRUE(model_->is_training());
}

TEST_F(Evaluate, CountsExamplesForProgress) {
  std::vector<int64_t> done;
  evaluate(*model_, dataset_, tokenizer_, batch_options(recipe_), [&](int64_t d, int64_t total) {
    done.push_back(d);
    EXPECT_EQ(total, 13);
  });
  EXPECT_EQ(done.back(), 13);
  EXPECT_EQ(done.size(), 4u);  // batches of four
}

TEST_F(Evaluate, RefusesDataThatDoesNotFitTheModel) {
  const auto evaluated = [&](const data::Dataset& dataset) {
    return [&] { evaluate(*model_, dataset, tokenizer_, batch_options(recipe_)); };
  };
  expect_error(evaluated({{}, dataset_.classes}), {"no examples"});
  data::Dataset other = dataset_;
  std::swap(other.classes[0], other.classes[1]);
  expect_error(evaluated(other), {"digits, vowels", "vowels, digits"});
  data::Dataset unlabeled = dataset_;
  unlabeled.examples[4].label = -1;
  expect_error(evaluated(unlabeled), {"example 4 has no label"});
}

TEST_F(Evaluate, PredictsInTheOrderOfTheDataset) {
  data::Dataset unlabeled = dataset_;
  for (data::Example& example : unlabeled.examples) example.label = -1;
  const auto rows = predict(*model_, unlabeled, tokenizer_, batch_options(recipe_));
  ASSERT_EQ(rows.size(), 13u);
  model_->eval();
  for (size_t i = 0; i < rows.size(); ++i) {
    const double alone = logits(dataset_.examples[i]).softmax(1)[0][1].item<double>();
    EXPECT_NEAR(rows[i][1], alone, 1e-6);
    EXPECT_NEAR(rows[i][0] + rows[i][1], 1, 1e-12);
  }
}

TEST_F(Evaluate, WritesItselfAsJson) {
  const Json json = to_json(evaluate(*model_, dataset_, tokenizer_, batch_options(recipe_)));
  EXPECT_EQ(json["count"], 13);
  EXPECT_EQ(json["classes"][1]["name"], "digits");
  EXPECT_EQ(json["classes"][1]["support"], 6);
  EXPECT_EQ(json["confusion"].size(), 2u);
  EXPECT_FALSE(json.contains("perplexity"));
}

TEST_F(Evaluate, MeasuresNumbersByCorrelationAndSquaredError) {
  dataset_.label_kind = data::LabelKind::kNumber;
  recipe_.model.classes = dataset_.classes = {"score"};
  for (size_t i = 0; i < dataset_.examples.size(); ++i) {
    dataset_.examples[i].number = static_cast<double>(i);
  }
  model_ = std::make_shared<models::Model>(recipe_.model);
  model_->eval();
  std::vector<double> truth, predicted;
  for (const data::Example& example : dataset_.examples) {
    truth.push_back(example.number);
    predicted.push_back(logits(example)[0][0].item<double>());
  }
  const Evaluation got = evaluate(*model_, dataset_, tokenizer_, batch_options(recipe_));
  EXPECT_EQ(got.measured, Measured::kNumber);
  EXPECT_NEAR(got.loss, mean_squared_error(truth, predicted), 1e-4);
  EXPECT_NEAR(got.pearson, pearson(truth, predicted), 1e-4);
  EXPECT_EQ(quality(got, Metric::kDefault), got.pearson);
  EXPECT_TRUE(to_json(got).contains("spearman"));
  EXPECT_NEAR(predict(*model_, dataset_, tokenizer_, batch_options(recipe_))[3][0], predicted[3],
              1e-5);
  dataset_.examples[2].number = std::nan("");
  expect_error([&] { evaluate(*model_, dataset_, tokenizer_, batch_options(recipe_)); },
               {"example 2 has no label"});
}

TEST_F(Evaluate, MeasuresWordsAndTheSpansThatTheyMake) {
  data::Dataset sentences{.classes = {"O", "B-X", "I-X"}, .label_kind = data::LabelKind::kTag};
  for (int i = 0; i < 5; ++i) {
    sentences.examples.push_back({.text = "ab 12 cd", .words = {{0, 2, 1}, {3, 5, 2}, {6, 8, 0}}});
  }
  recipe_.model.task = models::Task::kTokenClassification;
  recipe_.model.classes = sentences.classes;
  model_ = std::make_shared<models::Model>(recipe_.model);
  const Evaluation got = evaluate(*model_, sentences, tokenizer_, batch_options(recipe_));
  EXPECT_EQ(got.count, 15);
  EXPECT_THAT(got.support, ElementsAre(5, 5, 5));
  ASSERT_TRUE(got.spans);
  EXPECT_EQ(got.spans->of_truth, 5);
  EXPECT_EQ(quality(got, Metric::kDefault), got.spans->f1());
  EXPECT_TRUE(to_json(got).contains("span_f1"));
  expect_error([&] { evaluate(*model_, dataset_, tokenizer_, batch_options(recipe_)); },
               {"a class for each example", "a class for each word"});
}

TEST(Quality, IsTheLargerTheBetterAndOnlyOfWhatIsMeasured) {
  Evaluation classes = score({0, 1, 1, 1}, {0, 1, 1, 0}, names(2));
  classes.loss = 0.5;
  EXPECT_EQ(quality(classes, Metric::kDefault), 0.75);
  EXPECT_EQ(quality(classes, Metric::kF1), classes.f1[1]);
  EXPECT_EQ(quality(classes, Metric::kMatthews), classes.matthews);
  EXPECT_EQ(quality(classes, Metric::kLoss), -0.5);
  expect_error([&] { quality(classes, Metric::kPearson); }, {"train.metric = \"pearson\""});
  expect_error([&] { quality(score({0}, {1}, names(3)), Metric::kF1); }, {"f1 is of two classes"});
  const Evaluation constant = score_numbers({1, 2}, {3, 3}, "score");
  EXPECT_EQ(quality(constant, Metric::kSpearman), -1);
  EXPECT_EQ(to_json(constant).dump().find("nan"), std::string::npos);
}

class EvaluateLanguageModel : public ::testing::Test {
 protected:
  EvaluateLanguageModel() : recipe_(tiny_recipe("unused")) {
    at::set_num_threads(1);
    at::manual_seed(4);
    recipe_.model.task = models::Task::kMaskedLanguageModel;
    model_ = std::make_shared<models::Model>(recipe_.model);
  }

  data::Dataset dataset_ = make_dataset(9, 6);
  text::ByteTokenizer tokenizer_;
  Recipe recipe_;
  std::shared_ptr<models::Model> model_;
};

TEST_F(EvaluateLanguageModel, IsTheMeanOverMaskedTokens) {
  const Evaluation got = evaluate(*model_, dataset_, tokenizer_, batch_options(recipe_));
  const at::NoGradGuard no_grad;
  model_->eval();
  data::EvaluationBatches batches(dataset_, std::make_shared<text::ByteTokenizer>(),
                                  batch_options(recipe_));
  double loss = 0;
  int64_t count = 0;
  for (data::Batch batch; batches.next(batch);) {
    const int64_t masked = batch.labels.ge(0).sum().item<int64_t>();
    loss += static_cast<double>(masked) *
            model_->loss(inputs_for(*model_, batch), batch.labels).item<double>();
    count += masked;
  }
  EXPECT_EQ(got.count, count);
  EXPECT_NEAR(got.loss, loss / static_cast<double>(count), 1e-6 * got.loss);
  EXPECT_NEAR(got.perplexity, std::exp(got.loss), 1e-9 * got.perplexity);
  EXPECT_TRUE(to_json(got).contains("perplexity"));
}

TEST_F(EvaluateLanguageModel, HasNoClassesToPredict) {
  expect_error([&] { predict(*model_, dataset_, tokenizer_, batch_options(recipe_)); },
               {"masked language model", "no classes"});
}

}  // namespace
}  // namespace lowrank::train
