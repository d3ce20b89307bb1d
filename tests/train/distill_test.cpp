// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/distill.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/models/derive.h"
#include "tests/support/small_config.h"

namespace lowrank::train {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::vector<std::string> texts() {
  std::string text;
  for (int i = 0; i < 3000; ++i) text += static_cast<char>('a' + (i * i / 7) % 19);
  return {text, text.substr(0, 500)};
}

std::shared_ptr<models::Model> make_teacher() {
  at::manual_seed(2);
  models::ModelConfig config = testing::small_config(ExactOptions{});
  config.embeddings.vocabulary = 259;
  config.dropout = 0.1;  // which distillation must not apply
  const auto model = std::make_shared<models::Model>(config);
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->named_parameters()) {
    if (parameter.key().find("query.weight") != std::string::npos) parameter->mul_(4);
  }
  model->eval();
  return model;
}

DistillResult learn(models::Model& student, models::Model& teacher, const DistillOptions& options,
                    bool stopped = false) {
  const std::atomic<bool> stop = stopped;
  const DistillData data = distill_data(texts(), text::ByteTokenizer(), 33);
  return distill(student, teacher, data, options, {}, stop);
}

constexpr DistillOptions kShort = {.steps = 150, .learning_rate = 5e-3, .evaluations = 3};

TEST(DistillData, CutsTextsIntoWholeSequencesAndHoldsSomeOut) {
  const DistillData data = distill_data(texts(), text::ByteTokenizer(), 33);
  EXPECT_EQ(data.held_out.size(), 8U);  // CLS and SEP leave 31 of 33 tokens for text
  EXPECT_EQ(data.training.size() + data.held_out.size(), 3000U / 31 + 500U / 31);
  for (const auto& sequence : data.training) EXPECT_EQ(sequence.size(), 33U);
  EXPECT_THAT([] { distill_data({"short"}, text::ByteTokenizer(), 33); },
              ThrowsMessage<Error>(HasSubstr("0 sequences of 33 tokens; 16 are needed")));
}

TEST(Distill, BringsTheStudentNearerToItsTeacher) {
  const auto teacher = make_teacher();
  const auto student =
      models::with_attention(*teacher, {NystromOptions{.landmarks = 2, .conv = 3}});
  const DistillResult result = learn(*student, *teacher, kShort);
  EXPECT_EQ(result.ended, DistillResult::Ended::kDone);
  EXPECT_EQ(result.steps, 150);
  EXPECT_EQ(result.tokens, 150 * 4 * 33);
  EXPECT_LT(1 - result.after.mean_cosine, (1 - result.before.mean_cosine) / 2);
  for (size_t i = 1; i < result.before.state_errors.size(); ++i) {
    EXPECT_LT(result.after.state_errors[i], result.before.state_errors[i]);
  }
}

TEST(Distill, LeavesTeacherAndEmbeddingsAsTheyAre) {
  const auto teacher = make_teacher(), untouched = make_teacher();
  const auto student = models::with_attention(*teacher, {NystromOptions{.landmarks = 2}});
  learn(*student, *teacher, {.steps = 3});
  for (const auto& parameter : untouched->named_parameters()) {
    EXPECT_TRUE(at::equal(parameter.value(), teacher->named_parameters()[parameter.key()]));
    if (!parameter.key().starts_with("embeddings.")) continue;
    EXPECT_TRUE(at::equal(parameter.value(), student->named_parameters()[parameter.key()]));
    EXPECT_TRUE(student->named_parameters()[parameter.key()].requires_grad());
  }
}

TEST(Distill, GivesTheSameBitsForTheSameSteps) {
  const auto teacher = make_teacher();
  const auto first = models::with_attention(*teacher, {NystromOptions{.landmarks = 2}});
  const auto second = models::with_attention(*teacher, {NystromOptions{.landmarks = 2}});
  learn(*first, *teacher, {.steps = 5});
  learn(*second, *teacher, {.steps = 5});
  for (const auto& parameter : first->named_parameters()) {
    EXPECT_TRUE(at::equal(parameter.value(), second->named_parameters()[parameter.key()]));
  }
}

TEST(Distill, StopsAtItsTargetWhenItIsToldToAndWhenNothingIsGained) {
  const auto teacher = make_teacher();
  const auto student = models::with_attention(*teacher, {NystromOptions{.landmarks = 2}});
  DistillOptions options = kShort;
  EXPECT_EQ(learn(*student, *teacher, options, true).ended, DistillResult::Ended::kInterrupted);
  options.target = 0.1;
  EXPECT_EQ(learn(*student, *teacher, options).ended, DistillResult::Ended::kTarget);
  options.target = 2;
  options.learning_rate = 1e-12;
  options.evaluations = 10;
  EXPECT_EQ(learn(*student, *teacher, options).ended, DistillResult::Ended::kNoProgress);
}

}  // namespace
}  // namespace lowrank::train
