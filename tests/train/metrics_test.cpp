// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/metrics.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "lowrank/base/config.h"
#include "lowrank/base/file.h"

namespace lowrank::train {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr double kLimit = 1e-12;

Confusion confusion_of(const Json& set) {
  const auto truth = set["labels"].get<std::vector<size_t>>();
  const auto predicted = set["predictions"].get<std::vector<size_t>>();
  const auto classes = set["classes"].get<size_t>();
  Confusion confusion(classes, std::vector<int64_t>(classes, 0));
  for (size_t i = 0; i < truth.size(); ++i) ++confusion[truth[i]][predicted[i]];
  return confusion;
}

void expect_equal(const Json& recorded, const char* name, double got) {
  if (recorded[name].is_null()) {
    EXPECT_TRUE(std::isnan(got)) << name << " is " << got << ", not NaN";
    return;
  }
  EXPECT_TRUE(std::abs(got - recorded[name].get<double>()) <= kLimit)
      << name << " is " << got << ", not " << recorded[name];
}

TEST(Metrics, AreScikitLearnsAndScipys) {
  const char* shared = std::getenv("LOWRANK_SHARED");
  const std::filesystem::path file =
      std::filesystem::path(shared ? shared : "") / "golden/metrics/metrics.json";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
  const Json recorded = parse_json(read_file(file), file.string());
  size_t compared = 0;
  for (const Json& set : recorded["sets"]) {
    SCOPED_TRACE(compared++);
    if (set["kind"] == "regression") {
      const auto truth = set["labels"].get<std::vector<double>>();
      const auto predicted = set["predictions"].get<std::vector<double>>();
      expect_equal(set, "pearson", pearson(truth, predicted));
      expect_equal(set, "spearman", spearman(truth, predicted));
      expect_equal(set, "mse", mean_squared_error(truth, predicted));
      continue;
    }
    const Confusion confusion = confusion_of(set);
    expect_equal(set, "accuracy", accuracy(confusion));
    expect_equal(set, "matthews", matthews(confusion));
    expect_equal(set, "f1_macro", macro_f1(confusion));
    expect_equal(set, "f1_micro", micro_f1(confusion));
    expect_equal(set, "f1_weighted", weighted_f1(confusion));
    if (set["kind"] != "binary") continue;
    expect_equal(set, "f1", f1(confusion, 1));
    expect_equal(set, "precision", precision(confusion, 1));
    expect_equal(set, "recall", recall(confusion, 1));
  }
  EXPECT_EQ(compared, 20u);
}

TEST(Metrics, AreZeroWhereThereIsNothingToDivideBy) {
  const Confusion one_class_predicted = {{3, 0}, {2, 0}};
  EXPECT_EQ(matthews(one_class_predicted), 0);
  EXPECT_EQ(f1(one_class_predicted, 1), 0);
  const Confusion empty = {{0, 0}, {0, 0}};
  EXPECT_EQ(accuracy(empty), 0);
  EXPECT_EQ(macro_f1(empty), 0);
  EXPECT_EQ(weighted_f1(empty), 0);
  EXPECT_EQ(matthews(empty), 0);
}

TEST(Metrics, FollowTheirFormulasOnASmallTable) {
  const Confusion confusion = {{4, 1}, {2, 3}};
  EXPECT_NEAR(accuracy(confusion), 0.7, kLimit);
  EXPECT_NEAR(precision(confusion, 1), 3.0 / 4, kLimit);
  EXPECT_NEAR(recall(confusion, 1), 3.0 / 5, kLimit);
  EXPECT_NEAR(f1(confusion, 1), 6.0 / 9, kLimit);
  EXPECT_NEAR(matthews(confusion), (4 * 3 - 1 * 2) / std::sqrt(4.0 * 5 * 5 * 6), kLimit);
}

TEST(Correlation, IsOneForALineAndOfRanksForAnyThatAscends) {
  const std::vector<double> x = {1, 2, 3, 4}, line = {5, 7, 9, 11}, bent = {1, 10, 100, 1000};
  EXPECT_NEAR(pearson(x, line), 1, kLimit);
  EXPECT_LT(pearson(x, bent), 0.9);
  EXPECT_NEAR(spearman(x, bent), 1, kLimit);
}

TEST(Correlation, SharesTheMeanRankAmongEqualValues) {
  // Ranks 1.5, 1.5, 3, 4 against 1, 2, 3, 4.
  const std::vector<double> tied = {2, 2, 5, 9}, x = {1, 2, 3, 4};
  EXPECT_NEAR(spearman(tied, x), 4.5 / std::sqrt(4.5 * 5), kLimit);
}

TEST(Correlation, IsNoNumberWithoutAnythingToCorrelate) {
  const std::vector<double> x = {1, 2, 3}, constant = {0.1, 0.1, 0.1}, one = {1};
  EXPECT_TRUE(std::isnan(pearson(x, constant)));
  EXPECT_TRUE(std::isnan(spearman(constant, x)));
  EXPECT_TRUE(std::isnan(pearson(one, one)));
}

TEST(Spans, BeginAtBAndGoOnWithI) {
  EXPECT_THAT(spans_of({"B-PER", "I-PER", "O", "B-LOC", "B-LOC"}),
              ElementsAre(WordSpan{"PER", 0, 1}, WordSpan{"LOC", 3, 3}, WordSpan{"LOC", 4, 4}));
  EXPECT_THAT(spans_of({"O", "O"}), IsEmpty());
  EXPECT_THAT(spans_of({}), IsEmpty());
}

// As conlleval and seqeval's default mode have it, not its strict one.
TEST(Spans, BeginAtAnIThatContinuesNothing) {
  EXPECT_THAT(spans_of({"I-PER", "I-PER", "I-LOC"}),
              ElementsAre(WordSpan{"PER", 0, 1}, WordSpan{"LOC", 2, 2}));
  EXPECT_THAT(spans_of({"B-PER", "I-LOC", "O", "I-LOC"}),
              ElementsAre(WordSpan{"PER", 0, 0}, WordSpan{"LOC", 1, 1}, WordSpan{"LOC", 3, 3}));
  EXPECT_THAT(spans_of({"B-A-B", "I-A-B", "S-C", "E-C"}),
              ElementsAre(WordSpan{"A-B", 0, 1}, WordSpan{"C", 2, 2}, WordSpan{"C", 3, 3}));
}

TEST(Spans, CountWhereLabelAndBothEndsAgree) {
  SpanScore score;
  score.add({"B-PER", "I-PER", "O", "B-LOC"}, {"B-PER", "O", "O", "B-LOC"});
  score.add({"B-PER"}, {"B-LOC"});
  EXPECT_EQ(score.hits, 1);
  EXPECT_EQ(score.of_truth, 3);
  EXPECT_EQ(score.predicted, 3);
  EXPECT_NEAR(score.f1(), 1.0 / 3, kLimit);
}

TEST(Spans, AreOfTagsWithALetterAndAHyphen) {
  EXPECT_TRUE(are_span_tags({"O", "B-PER", "I-PER"}));
  EXPECT_FALSE(are_span_tags({"NN", "VB"}));
  EXPECT_FALSE(are_span_tags({"O", "X-PER"}));
}

}  // namespace
}  // namespace lowrank::train
