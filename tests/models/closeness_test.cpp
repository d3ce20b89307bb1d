// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/closeness.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "lowrank/models/derive.h"
#include "tests/support/small_config.h"

namespace lowrank::models {
namespace {

std::vector<Inputs> batches() {
  at::manual_seed(3);
  std::vector<Inputs> all;
  for (int i = 0; i < 3; ++i) {
    all.push_back({at::randint(20, {66}, at::kLong), at::tensor({0, 33, 66}, at::kLong), {}});
  }
  return all;
}

// Attention sharp enough that what stands in for it matters.
std::shared_ptr<Model> sharp_model() {
  at::manual_seed(1);
  ModelConfig config = testing::small_config(ExactOptions{});
  config.layers = 3;
  const auto model = std::make_shared<Model>(config);
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->named_parameters()) {
    const bool is_score = parameter.key().find("query.weight") != std::string::npos ||
                          parameter.key().find("key.weight") != std::string::npos;
    if (is_score) parameter->mul_(3);
  }
  return model;
}

TEST(Compare, FindsNoDifferenceBetweenAModelAndItself) {
  const auto model = sharp_model();
  const Closeness closeness = compare(*model, *model, batches());
  EXPECT_EQ(closeness.sequences, 6);
  EXPECT_NEAR(closeness.mean_cosine, 1, 1e-12);
  EXPECT_NEAR(closeness.least_cosine, 1, 1e-12);
  EXPECT_EQ(closeness.state_errors, (std::vector<double>{0, 0, 0, 0}));
}

TEST(Compare, MeasuresStatesAgainstTheReference) {
  const auto model = sharp_model();
  const auto other =
      with_attention(*model, {ExactOptions{}, NystromOptions{.landmarks = 2}, ExactOptions{}});
  const Closeness closeness = compare(*other, *model, batches());
  EXPECT_EQ(closeness.state_errors[0], 0);
  EXPECT_EQ(closeness.state_errors[1], 0);  // the first layer is as it was
  EXPECT_GT(closeness.state_errors[2], 0);
  EXPECT_LT(closeness.mean_cosine, 1 - 1e-6);
  EXPECT_LE(closeness.least_cosine, closeness.mean_cosine);
}

TEST(ChooseAttention, TakesTheCheapestThatKeepsTheCosineAndNothingElse) {
  const auto model = sharp_model();
  const std::vector<AttentionKind> candidates = {NystromOptions{.landmarks = 2},
                                                 NystromOptions{.landmarks = 33}};
  const ChosenAttention anything = choose_attention(*model, candidates, 0, batches());
  for (const AttentionKind& kind : anything.kinds) {
    EXPECT_EQ(std::get<NystromOptions>(kind).landmarks, 2);
  }
  // With as many landmarks as tokens it is exact, which is near enough for all but a perfect cosine.
  double done = 0;
  const ChosenAttention near = choose_attention(*model, candidates, 1 - 1e-9, batches(),
                                                [&](double share) { done = share; });
  for (const AttentionKind& kind : near.kinds) {
    EXPECT_EQ(std::get<NystromOptions>(kind).landmarks, 33);
  }
  EXPECT_EQ(near.alone.size(), 3U);
  EXPECT_NEAR(done, 1, 1e-9);
  const ChosenAttention nothing =
      choose_attention(*model, {NystromOptions{.landmarks = 2}}, 1 - 1e-12, batches());
  for (const AttentionKind& kind : nothing.kinds) {
    EXPECT_TRUE(std::holds_alternative<ExactOptions>(kind));
  }
  EXPECT_EQ(nothing.closeness.mean_cosine, 1);
}

}  // namespace
}  // namespace lowrank::models
