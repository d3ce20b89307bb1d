// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/derive.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/attention_kinds.h"
#include "tests/support/oracle.h"
#include "tests/support/small_config.h"

namespace lowrank::models {
namespace {

using lowrank::testing::max_error;
using lowrank::testing::small_config;
using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using ::testing::UnorderedElementsAre;

Inputs inputs(int64_t n) {
  return {at::arange(n, at::kLong).remainder(20), at::tensor({int64_t{0}, n}, at::kLong), {}};
}

at::Tensor rows(Model& model, int64_t n) {
  const at::NoGradGuard no_grad;
  model.eval();
  return model.encode(inputs(n)).x;
}

// With as many landmarks as tokens Nystrom attention is exact, and its convolution starts from zeros.
TEST(WithAttention, KeepsTheFunctionWhereTheNewKindDoes) {
  Model exact(small_config(ExactOptions{}));
  exact.to(at::kDouble);
  const auto nystrom = with_attention(exact, {NystromOptions{.landmarks = 33, .conv = 5}});
  EXPECT_EQ(nystrom->named_parameters()["layers.0.attention.filter"].sizes(),
            (at::IntArrayRef{3, 5}));
  EXPECT_LE(max_error(rows(exact, 33), rows(*nystrom, 33)), 1e-12);
}

TEST(WithAttention, KeepsEveryWeightThatBothHave) {
  for (const auto& [name, kind] : lowrank::testing::attention_kinds()) {
    Model before(small_config(ExactOptions{}));
    const auto after = with_attention(before, {kind});
    for (const auto& parameter : before.named_parameters()) {
      EXPECT_TRUE(at::equal(parameter.value(), after->named_parameters()[parameter.key()])) << name;
    }
    EXPECT_TRUE(rows(*after, 20).isfinite().all().item<bool>()) << name;
  }
}

TEST(WithAttention, LeavesOtherLayersAsTheyAre) {
  Model model(small_config(NystromOptions{.landmarks = 4, .conv = 5}));
  const AttentionKind kept = model.config().attention.front();
  const auto mixed = with_attention(model, {kept, ExactOptions{}});
  EXPECT_TRUE(at::equal(mixed->named_parameters()["layers.0.attention.filter"],
                        model.named_parameters()["layers.0.attention.filter"]));
  EXPECT_FALSE(mixed->named_parameters().contains("layers.1.attention.filter"));
}

TEST(WithAttention, LeavesAProfileAwayThatTheKindHasNot) {
  ModelConfig config = small_config(NystromOptions{.landmarks = 4});
  config.compat = {.profile = Profile::kHuggingFace, .segment_length = 12};
  const Model model(config);
  EXPECT_EQ(with_attention(model, {ExactOptions{}})->config().compat.profile, Profile::kNone);
  EXPECT_EQ(with_attention(model, {NystromOptions{.landmarks = 6}})->config().compat.profile,
            Profile::kHuggingFace);
  EXPECT_EQ(without_profile(model)->config().compat.profile, Profile::kNone);
}

TEST(WithPositions, TilesOrInterpolatesTheTable) {
  ModelConfig config = small_config(ExactOptions{});
  config.embeddings.position_offset = 2;
  const Model model(config);
  const at::Tensor before = model.named_parameters()["embeddings.positions"];
  for (const PositionRule rule : {PositionRule::kTile, PositionRule::kInterpolate}) {
    const auto longer = with_positions(model, 65, rule);
    const at::Tensor after = longer->named_parameters()["embeddings.positions"];
    ASSERT_EQ(after.size(0), 67);
    EXPECT_TRUE(
        at::equal(after.slice(0, 0, 3), before.slice(0, 0, 3)));  // nobody's two and the first
    if (rule == PositionRule::kTile) {
      EXPECT_TRUE(at::equal(after.slice(0, 2, 35), before.slice(0, 2, 35)));
      EXPECT_TRUE(at::equal(after[2 + 33], before[2]));
    } else {  // 65 rows over 33: every other one is a row of the table
      EXPECT_TRUE(at::equal(after[2 + 64], before[2 + 32]));
      EXPECT_LE(max_error(after[2 + 10], before[2 + 5]), 1e-6);
      EXPECT_LE(max_error(after[2 + 11], (before[2 + 5] + before[2 + 6]) / 2), 1e-6);
    }
  }
}

TEST(WithPositions, LetsAModelReadLongerTextAndShorterAsBefore) {
  Model model(small_config(NystromOptions{.landmarks = 4}));
  EXPECT_THROW(rows(model, 100), c10::ValueError);
  const auto longer = with_positions(model, 100, PositionRule::kTile);
  EXPECT_EQ(rows(*longer, 100).size(0), 100);
  EXPECT_TRUE(at::equal(rows(*longer, 20), rows(model, 20)));
  EXPECT_EQ(longest_sequence(longer->config()), 100);
}

TEST(WithPositions, RefusesFewerAndALinformerThatTakesLess) {
  const Model model(small_config(ExactOptions{}));
  EXPECT_THAT([&] { with_positions(model, 20, PositionRule::kTile); },
              ThrowsMessage<Error>(HasSubstr("max_positions = 20; the model has 33")));
  const Model linformer(small_config(LinformerOptions{.projected = 5, .max_length = 33}));
  EXPECT_THAT([&] { with_positions(linformer, 40, PositionRule::kTile); },
              ThrowsMessage<Error>(HasSubstr("max_length = 33")));
}

TEST(Inherit, TakesTheEncoderAndLeavesAnotherTasksHead) {
  Model from(small_config(ExactOptions{}, Task::kMaskedLanguageModel));
  Model model(small_config(NystromOptions{.landmarks = 33, .conv = 5}));
  const Inherited inherited = inherit(model, from);
  EXPECT_THAT(inherited.fresh, ElementsAre("layers.0.attention.filter", "layers.1.attention.filter",
                                           "classifier.weight", "classifier.bias"));
  EXPECT_THAT(inherited.unused,
              UnorderedElementsAre("dense.weight", "dense.bias", "head_norm.weight",
                                   "head_norm.bias", "output_bias"));
  // With so many landmarks Nystrom attention is exact, and the new convolution does nothing.
  EXPECT_LE(max_error(rows(model, 20), rows(from, 20)), 1e-5);
}

TEST(Inherit, TakesAllOfAModelOfTheSameTask) {
  for (const auto& [name, kind] : lowrank::testing::attention_kinds()) {
    Model from(small_config(kind)), model(small_config(kind));
    const Inherited inherited = inherit(model, from);
    EXPECT_TRUE(inherited.fresh.empty() && inherited.unused.empty()) << name;
    for (const auto& parameter : from.named_parameters()) {
      EXPECT_TRUE(at::equal(parameter.value(), model.named_parameters()[parameter.key()]))
          << name << " " << parameter.key();
    }
  }
}

TEST(Inherit, TakesFewerLayersAndFewerOrMorePositions) {
  ModelConfig small = small_config(ExactOptions{});
  small.layers = 1;
  small.embeddings.max_positions = 10;
  ModelConfig large = small;
  large.embeddings.max_positions = 50;
  Model from(small_config(ExactOptions{})), shorter(small), longer(large);
  EXPECT_THAT(inherit(shorter, from).unused, Contains("layers.1.attention.query.weight"));
  EXPECT_TRUE(inherit(longer, from).fresh.empty());
  const auto positions = [](Model& model) {
    return model.named_parameters()["embeddings.positions"];
  };
  EXPECT_TRUE(at::equal(positions(shorter), positions(from).slice(0, 0, 10)));
  EXPECT_TRUE(at::equal(positions(longer).slice(0, 0, 33), positions(from)));
  EXPECT_TRUE(at::equal(positions(longer).slice(0, 33), positions(from).slice(0, 0, 17)));
}

TEST(Inherit, DrawsAProjectionOfAnotherSizeAnew) {
  Model from(small_config(LinformerOptions{.projected = 5, .max_length = 33}));
  Model model(small_config(LinformerOptions{.projected = 7, .max_length = 33}));
  EXPECT_THAT(inherit(model, from).fresh, Contains("layers.0.attention.e"));
  EXPECT_TRUE(rows(model, 20).isfinite().all().item<bool>());
}

TEST(Inherit, NamesEveryPartOfAnotherSizeAndChangesNothing) {
  ModelConfig wide = small_config(ExactOptions{});
  wide.feed_forward = 24;
  Model from(small_config(ExactOptions{})), model(wide);
  const at::Tensor before = model.named_parameters()["embeddings.tokens"].clone();
  EXPECT_THAT(
      [&] { inherit(model, from); },
      ThrowsMessage<Error>(
          AllOf(HasSubstr("6 tensors"), HasSubstr("is Float [20, 12] instead of Float [24, 12]"))));
  EXPECT_TRUE(at::equal(model.named_parameters()["embeddings.tokens"], before));
}

}  // namespace
}  // namespace lowrank::models
