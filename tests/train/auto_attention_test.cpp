// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/auto_attention.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/error.h"
#include "tests/train/synthetic.h"

namespace lowrank::train {
namespace {

using lowrank::testing::tiny_recipe;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

constexpr NystromOptions kAuto{.landmarks = 64, .exact_up_to = models::kToBeMeasured, .conv = 33};

// Of heads of 64, and texts of 16,384 tokens in patches of 8.
Recipe recipe_with(const std::vector<AttentionKind>& attention) {
  Recipe recipe = tiny_recipe("run");
  recipe.model.width = 768;
  recipe.model.heads = 12;
  recipe.model.embeddings.patch = 8;
  recipe.data.max_length = 16384;
  recipe.model.attention = attention;
  recipe.model.layers = static_cast<int64_t>(attention.size());
  return recipe;
}

// Answers with `result`, and keeps the notes and what was asked.
struct Measured {
  explicit Measured(Crossover result, const std::vector<AttentionKind>& attention)
      : Measured(std::move(result), recipe_with(attention)) {}
  Measured(Crossover result, const Recipe& given) {
    const auto measure = [&](const NystromOptions& nystrom, const AttentionShape& asked_shape,
                             int64_t asked_longest) {
      asked.push_back(nystrom);
      shape = asked_shape;
      longest = asked_longest;
      return result;
    };
    recipe = with_measured_attention(given, measure,
                                     [&](const std::string& note) { notes.push_back(note); });
  }

  const NystromOptions& nystrom(size_t layer) const {
    return std::get<NystromOptions>(recipe.model.attention[layer]);
  }

  Recipe recipe;
  std::vector<NystromOptions> asked;
  AttentionShape shape;
  int64_t longest = 0;
  std::vector<std::string> notes;
};

const Crossover kAt224 = {224, {{128, 1e-3, 2e-3, 2}, {256, 1.9e-3, 1.6e-3, 0.84}}};

TEST(AutoAttention, RefusesAWrongModelBeforeItMeasures) {
  Recipe recipe = recipe_with({kAuto});
  recipe.model.heads = 7;
  bool asked = false;
  const auto measure = [&](const NystromOptions&, const AttentionShape&, int64_t) {
    asked = true;
    return kAt224;
  };
  EXPECT_THAT([&] { with_measured_attention(recipe, measure, [](const std::string&) {}); },
              ::testing::ThrowsMessage<Error>(HasSubstr("heads = 7 does not divide width = 768")));
  EXPECT_FALSE(asked);
}

TEST(AutoAttention, BecomesNystromAttentionWithTheMeasuredNumberAndSaysWhy) {
  const Measured measured(kAt224, {kAuto});
  EXPECT_EQ(measured.nystrom(0), (NystromOptions{.landmarks = 64, .exact_up_to = 224, .conv = 33}));
  EXPECT_THAT(measured.notes,
              ElementsAre("attention[0]: auto chose exact attention up to 224 rows, Nystrom above "
                          "(measured here: 256 rows take 1.9 ms exact, 1.6 ms Nystrom)."));
}

TEST(AutoAttention, CountsTokensWhereAModelHasNoPatches) {
  Recipe recipe = recipe_with({kAuto});
  recipe.model.embeddings.patch = 1;
  EXPECT_THAT(Measured(kAt224, recipe).notes,
              ElementsAre(HasSubstr("up to 224 tokens, Nystrom above")));
}

TEST(AutoAttention, IsMeasuredOnTheRecipesShapeAndLengths) {
  Recipe recipe = recipe_with({kAuto});
  const Measured usual(kAt224, recipe);
  EXPECT_THAT(usual.asked, ElementsAre(kAuto));
  EXPECT_EQ(usual.longest, 2048);
  EXPECT_EQ(usual.shape.heads, 12);
  EXPECT_EQ(usual.shape.head_size, 64);
  EXPECT_EQ(usual.shape.dtype, at::kFloat);
  EXPECT_TRUE(usual.shape.device.is_cpu());
  EXPECT_TRUE(usual.shape.backward);
  recipe.train.precision = Precision::kBfloat16;
  EXPECT_EQ(Measured(kAt224, recipe).shape.dtype, at::kBFloat16);
}

TEST(AutoAttention, OfLayersThatAreAlikeIsMeasuredOnceAndOtherKindsAreLeftAlone) {
  NystromOptions wider = kAuto;
  wider.landmarks = 128;
  const NystromOptions given{.exact_up_to = 100};
  const Measured measured(kAt224, {kAuto, ExactOptions{}, kAuto, wider, given});
  EXPECT_THAT(measured.asked, ElementsAre(kAuto, wider));
  EXPECT_EQ(measured.notes.size(), 3u);
  EXPECT_EQ(measured.nystrom(2), measured.nystrom(0));
  EXPECT_EQ(measured.nystrom(3).landmarks, 128);
  EXPECT_EQ(measured.nystrom(4), given);
}

TEST(AutoAttention, SaysWhereTheDatasLengthsDecide) {
  const Measured always({2048, {{1024, 1e-3, 3e-3, 3}, {2048, 4e-3, 6e-3, 1.5}}}, {kAuto});
  EXPECT_THAT(always.notes,
              ElementsAre("attention[0]: auto chose exact attention up to 2048 rows, as many as "
                          "data.max_length allows (measured here: 2048 rows take 4 ms exact, 6 ms "
                          "Nystrom)."));
  const Measured never({64, {}}, {kAuto});
  EXPECT_THAT(never.notes,
              ElementsAre("attention[0]: auto measured nothing: no sequence of data.max_length has "
                          "more than 64 rows, the landmarks, and those get exact attention."));
  EXPECT_EQ(never.nystrom(0).exact_up_to, 64);
}

TEST(AutoAttention, OfASavedRunHasItsNumber) {
  const Recipe saved = Measured(kAt224, {kAuto, ExactOptions{}}).recipe;
  const Recipe resumed = with_attention_of(recipe_with({kAuto, ExactOptions{}}), saved);
  EXPECT_EQ(to_json(resumed), to_json(saved));
  const Recipe other = with_attention_of(recipe_with({ExactOptions{}, kAuto}), saved);
  EXPECT_EQ(to_json(other), to_json(recipe_with({ExactOptions{}, kAuto})));
}

}  // namespace
}  // namespace lowrank::train
