// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/classify.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/plain_model.h"

namespace lowrank::serve {
namespace {

using lowrank::testing::small_text_config;
using lowrank::testing::small_text_model;
using models::Task;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// The model's logits of one sequence.
at::Tensor logits_of(const TextModel& model, const std::vector<int64_t>& ids) {
  const at::NoGradGuard no_grad;
  const models::Inputs inputs{
      at::tensor(ids, at::kLong), at::tensor({int64_t{0}, std::ssize(ids)}, at::kLong), {}};
  return model.model->logits(inputs).to(at::kDouble)[0];
}

TextModel classifier(std::vector<std::string> classes) {
  models::ModelConfig config = small_text_config(Task::kClassification);
  config.classes = std::move(classes);
  return small_text_model(config);
}

TEST(Classify, GivesTheSoftmaxOfTheLogits) {
  const TextModel model = classifier({"x", "y", "z"});
  const auto found = classify(model, {read(model, {.text = "ab"}), read(model, {.text = "c"}),
                                      read(model, {.text = "a", .pair = "b"})});
  ASSERT_EQ(found.size(), 3u);
  const std::vector<std::vector<int64_t>> ids = {
      {256, 97, 98, 257}, {256, 99, 257}, {256, 97, 257, 98, 257}};
  for (size_t i = 0; i < ids.size(); ++i) {
    const at::Tensor expected = logits_of(model, ids[i]).softmax(0);
    for (size_t c = 0; c < 3; ++c) {
      EXPECT_NEAR(found[i][c], expected[static_cast<int64_t>(c)].item<double>(), 1e-6);
    }
  }
}

TEST(Classify, LeavesSpecialTokensAwayWhereAsked) {
  const TextModel model = classifier({"x", "y"});
  const auto found = classify(model, {read(model, {.text = "ab"}, {.special_tokens = false})});
  EXPECT_NEAR(found[0][0], logits_of(model, {97, 98}).softmax(0)[0].item<double>(), 1e-6);
}

TEST(Classify, GivesTheNumberOfAModelOfOneClass) {
  const TextModel model = classifier({"score"});
  const auto found = classify(model, {read(model, {.text = "ab"})});
  EXPECT_NEAR(found.at(0).at(0), logits_of(model, {256, 97, 98, 257})[0].item<double>(), 1e-6);
}

TEST(Classify, WeighsTheWindowsOfALongTextByTheirTokens) {
  const TextModel model = classifier({"x", "y"});
  const PieceOptions options{.on_overflow = Overflow::kChunk, .max_length = 5};
  const auto found = classify(model, {read(model, {.text = "abcd"}, options)});
  const double first = logits_of(model, {256, 97, 98, 99, 257}).softmax(0)[0].item<double>();
  const double rest = logits_of(model, {256, 100, 257}).softmax(0)[0].item<double>();
  EXPECT_NEAR(found[0][0], (3 * first + rest) / 4, 1e-6);
}

TEST(Choose, GivesTheSoftmaxOverTheScoresOfAQuestionsChoices) {
  const TextModel model = small_text_model(small_text_config(Task::kMultipleChoice));
  const auto found = choose(model, {read_choices(model, {.text = "q"}, {"a", "bc", "d"}),
                                    read_choices(model, {.text = "r"}, {"e", "f"})});
  ASSERT_EQ(found.size(), 2u);
  ASSERT_EQ(found[1].size(), 2u);
  const at::Tensor expected = at::cat({logits_of(model, {256, 'q', 257, 'a', 257}),
                                       logits_of(model, {256, 'q', 257, 'b', 'c', 257}),
                                       logits_of(model, {256, 'q', 257, 'd', 257})})
                                  .softmax(0);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_NEAR(found[0][i], expected[static_cast<int64_t>(i)].item<double>(), 1e-6);
  }
}

TEST(Choose, SaysWhatItNeeds) {
  const TextModel model = small_text_model(small_text_config(Task::kMultipleChoice));
  EXPECT_THAT([&] { read_choices(model, {.text = "q", .source = "stdin:2"}, {}); },
              ThrowsMessage<Error>(HasSubstr("stdin:2: it has no choices")));
  EXPECT_THAT([&] { read_choices(model, {.text = "q"}, {"a"}, {.on_overflow = Overflow::kChunk}); },
              ThrowsMessage<Error>(HasSubstr("on_overflow = chunk")));
  EXPECT_THAT(
      [&] { classify(model, {}); },
      ThrowsMessage<Error>(HasSubstr("is a multiple choice model; a classifier is needed")));
}

TEST(BestOf, OrdersPlacesByValueAndEqualOnesByPlace) {
  EXPECT_THAT(best_of({0.1, 0.5, 0.1, 0.3}, 3), ElementsAre(1, 3, 0));
  EXPECT_THAT(best_of({0.2}, 3), ElementsAre(0));
}

}  // namespace
}  // namespace lowrank::serve
