// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/baseline.h"

#include <gtest/gtest.h>

#include "tests/train/synthetic.h"

namespace lowrank::train {
namespace {

using lowrank::testing::expect_error;
using lowrank::testing::make_splits;

TEST(LinearBaseline, TellsTextsApartByTheirTrigrams) {
  const data::Splits splits = make_splits();
  const Evaluation got = linear_baseline(splits, splits.test);
  EXPECT_EQ(got.count, 12);
  EXPECT_EQ(got.accuracy, 1);
  EXPECT_GT(got.seconds, 0);
}

TEST(LinearBaseline, ReadsNothingPastTheBytesAllowed) {
  data::Splits splits = make_splits();
  for (data::Dataset* dataset : {&splits.train, &splits.test}) {
    for (data::Example& example : dataset->examples) example.text.insert(0, 20, '.');
  }
  EXPECT_EQ(linear_baseline(splits, splits.test).accuracy, 1);
  EXPECT_EQ(linear_baseline(splits, splits.test, 20).accuracy, 0.5);
}

TEST(LinearBaseline, TakesTextsTooShortForATrigram) {
  data::Splits splits = make_splits();
  splits.train.examples[0].text = "ab";
  splits.test.examples[0].text = "";
  EXPECT_GE(linear_baseline(splits, splits.test).accuracy, 11.0 / 12);
}

TEST(LinearBaseline, LearnsNumbersToo) {
  data::Splits splits = make_splits();
  for (data::Dataset* dataset : {&splits.train, &splits.test}) {
    dataset->label_kind = data::LabelKind::kNumber;
    dataset->classes = {"score"};
    for (data::Example& example : dataset->examples)
      example.number = example.label == 0 ? 104 : 101;
  }
  const Evaluation got = linear_baseline(splits, splits.test);
  EXPECT_GT(got.pearson, 0.95);
  EXPECT_LT(got.loss, 0.5);
}

// Neither text alone tells anything.
TEST(LinearBaseline, SeesWhatTheTextsOfAPairShare) {
  data::Splits splits;
  for (data::Dataset* dataset : {&splits.train, &splits.test}) {
    *dataset = {.classes = {"other", "same"}};
    for (int i = 0; i < 60; ++i) {
      const std::string word = std::to_string(1'000'003 * (i + 7)),
                        other = std::to_string(99'991 * (i + 3));
      const bool same = i % 2 == 1;
      dataset->examples.push_back({.text = word, .pair = same ? word : other, .label = same});
    }
  }
  EXPECT_GE(linear_baseline(splits, splits.test).accuracy, 0.95);
}

TEST(LinearBaseline, RefusesLabelledWords) {
  data::Splits splits;
  splits.train = {.examples = {{.text = "a", .words = {{0, 1, 0}}}},
                  .classes = {"O", "B-X"},
                  .label_kind = data::LabelKind::kTag};
  expect_error([&] { linear_baseline(splits, splits.train); }, {"labels words"});
}

TEST(LinearBaseline, RepeatsItself) {
  const data::Splits splits = make_splits();
  const Evaluation first = linear_baseline(splits, splits.test, 10);
  EXPECT_EQ(linear_baseline(splits, splits.test, 10).confusion, first.confusion);
}

TEST(LinearBaseline, NamesWhatIsWrong) {
  const data::Splits splits = make_splits();
  expect_error([&] { linear_baseline(splits, {{}, splits.test.classes}); }, {"test examples"});
  expect_error([&] { linear_baseline({}, splits.test); }, {"training examples"});
  data::Dataset other = splits.test;
  other.classes.push_back("third");
  expect_error([&] { linear_baseline(splits, other); }, {"2 classes", "3"});
  data::Dataset unlabeled = splits.test;
  unlabeled.examples[3].label = -1;
  expect_error([&] { linear_baseline(splits, unlabeled); }, {"example 3"});
}

}  // namespace
}  // namespace lowrank::train
