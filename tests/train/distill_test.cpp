// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/distill.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/models/derive.h"
#include "lowrank/models/model_directory.h"
#include "lowrank/train/distill_checkpoint.h"
#include "tests/support/oracle.h"
#include "tests/support/small_config.h"
#include "tests/support/temporary_folder.h"

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

// Stops `student` after `steps` steps.
DistillResult learn_until(int64_t steps, models::Model& student, models::Model& teacher,
                          const DistillData& data, const DistillOptions& options,
                          const DistillState* from = nullptr) {
  std::atomic<bool> stop = false;
  const auto watch = [&](const DistillProgress& progress) { stop = progress.step >= steps; };
  return distill(student, teacher, data, options, watch, stop, from);
}

// 40 steps of 4 sequences are more than one pass over 104.
TEST(Distill, GoesOnToTheBitsOfARunThatWasNeverStopped) {
  const auto teacher = make_teacher();
  const auto make_student = [&] {
    return models::with_attention(*teacher, {NystromOptions{.landmarks = 2, .conv = 3}});
  };
  const DistillData data = distill_data(texts(), text::ByteTokenizer(), 33);
  const DistillOptions options = {.steps = 40, .learning_rate = 5e-3, .evaluations = 6};
  const auto whole = make_student();
  const DistillResult expected =
      distill(*whole, *teacher, data, options, {}, std::atomic<bool>(false));
  ASSERT_EQ(expected.ended, DistillResult::Ended::kDone);

  const testing::TemporaryFolder folder;
  const auto first = make_student();
  for (const int64_t stop : {7, 30}) {  // two sittings, each of a program of its own
    std::optional<DistillState> from;
    if (stop > 7) from = load_distillation(folder.path(), options, data, *teacher);
    const auto student = stop > 7 ? models::load_model(folder.path()) : first;
    const DistillResult result =
        learn_until(stop, *student, *teacher, data, options, from ? &*from : nullptr);
    ASSERT_EQ(result.ended, DistillResult::Ended::kInterrupted);
    EXPECT_EQ(result.steps, stop);
    models::save_model(*student, folder.path());
    save_distillation(folder.path(), options, data, *teacher, result.state);
  }
  const DistillState from = load_distillation(folder.path(), options, data, *teacher);
  const auto student = models::load_model(folder.path());
  at::manual_seed(99);  // which nothing depends on
  const DistillResult result =
      distill(*student, *teacher, data, options, {}, std::atomic<bool>(false), &from);
  EXPECT_EQ(result.ended, DistillResult::Ended::kDone);
  EXPECT_EQ(result.steps, expected.steps);
  EXPECT_EQ(result.tokens, expected.tokens);
  EXPECT_EQ(result.before.mean_cosine, expected.before.mean_cosine);
  EXPECT_EQ(result.before.state_errors, expected.before.state_errors);
  EXPECT_EQ(result.after.mean_cosine, expected.after.mean_cosine);
  for (const auto& parameter : whole->named_parameters()) {
    EXPECT_TRUE(testing::same_bits(student->named_parameters()[parameter.key()], parameter.value()))
        << parameter.key();
  }
}

TEST(Distill, GoesOnWithWhatItBeganWithAlone) {
  const auto teacher = make_teacher();
  const auto student = models::with_attention(*teacher, {NystromOptions{.landmarks = 2}});
  const DistillData data = distill_data(texts(), text::ByteTokenizer(), 33);
  const testing::TemporaryFolder folder;
  const auto load = [&](const DistillOptions& options, const DistillData& sequences,
                        const models::Model& model) {
    return [&, options] { load_distillation(folder.path(), options, sequences, model); };
  };
  EXPECT_THAT(load(kShort, data, *teacher),
              ThrowsMessage<Error>(HasSubstr("there is no distill.json in it")));
  const DistillResult result = learn_until(2, *student, *teacher, data, kShort);
  save_distillation(folder.path(), kShort, data, *teacher, result.state);
  DistillOptions other = kShort;
  other.learning_rate = 1e-3;
  EXPECT_THAT(load(other, data, *teacher),
              ThrowsMessage<Error>(HasSubstr("learning_rate = 0.005, and now it is 0.001")));
  DistillData fewer = data;
  fewer.training.pop_back();
  EXPECT_THAT(load(kShort, fewer, *teacher), ThrowsMessage<Error>(HasSubstr("texts = ")));
  EXPECT_THAT(load(kShort, data, *student), ThrowsMessage<Error>(HasSubstr("teacher = ")));
  EXPECT_NO_THROW(load(kShort, data, *teacher)());
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
