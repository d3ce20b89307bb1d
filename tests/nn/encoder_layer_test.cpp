// SPDX-License-Identifier: Apache-2.0
#include "lowrank/nn/encoder_layer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lowrank::nn {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr double kRounding = 1e-13;  // of sums of fewer than 100 numbers of order 1

at::Tensor offsets() { return at::tensor({0, 3, 3, 9}, at::kLong); }

double max_error(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

EncoderLayerOptions options() {
  return {.attention = {.width = 8, .heads = 2, .kind = ExactOptions{}}, .feed_forward = 16};
}

EncoderLayer make(const EncoderLayerOptions& options) {
  at::manual_seed(11);
  EncoderLayer layer(options);
  layer->to(at::kDouble);
  return layer;
}

at::Tensor normalized(const at::Tensor& x) {  // what LayerNorm computes before it is trained
  const at::Tensor centered = x - x.mean(-1, true);
  return centered / (centered.pow(2).mean(-1, true) + 1e-5).sqrt();
}

TEST(EncoderLayer, NormalizesBeforeEachBranchOrAfterEachSum) {
  const at::Tensor x = at::randn({9, 8}, at::kDouble);
  EncoderLayerOptions chosen = options();
  for (const bool gelu : {true, false}) {
    chosen.activation = gelu ? Activation::kGelu : Activation::kRelu;
    const auto feed_forward = [&](EncoderLayer& layer, const at::Tensor& rows) {
      const at::Tensor hidden = layer->expand(rows);
      const at::Tensor erf_gelu = 0.5 * hidden * (1 + (hidden / std::sqrt(2.0)).erf());
      return layer->contract(gelu ? erf_gelu : hidden.clamp_min(0));
    };
    chosen.norm = NormPosition::kPre;
    EncoderLayer pre = make(chosen);
    const at::Tensor a = x + pre->attention(normalized(x), offsets());
    EXPECT_LE(max_error(pre(x, offsets()), a + feed_forward(pre, normalized(a))), kRounding);

    chosen.norm = NormPosition::kPost;
    EncoderLayer post = make(chosen);
    const at::Tensor b = normalized(x + post->attention(x, offsets()));
    EXPECT_LE(max_error(post(x, offsets()), normalized(b + feed_forward(post, b))), kRounding);
  }
}

TEST(EncoderLayer, DropsInTrainingOnly) {
  EncoderLayerOptions chosen = options();
  chosen.dropout = 0.5;
  EncoderLayer layer = make(chosen);
  const at::Tensor x = at::randn({9, 8}, at::kDouble);
  EXPECT_GT(max_error(layer(x, offsets()), layer(x, offsets())), 0);
  layer->eval();
  EXPECT_TRUE(at::equal(layer(x, offsets()), layer(x, offsets())));
  EncoderLayer without = make(options());
  EXPECT_TRUE(at::equal(layer(x, offsets()), without(x, offsets())));
}

TEST(EncoderLayer, StartsWithZeroBiasesAndWeightsThatKeepTheVariance) {
  at::manual_seed(1);
  const EncoderLayer layer(EncoderLayerOptions{.attention = {.width = 64, .heads = 2}});
  for (const auto& parameter : layer->named_parameters()) {
    if (!parameter.key().ends_with("weight") || parameter->dim() != 2) continue;
    const auto fans = static_cast<double>(parameter->size(0) + parameter->size(1));
    EXPECT_LE(parameter->abs().max().item<double>(), std::sqrt(6 / fans)) << parameter.key();
    // The variance of a uniform number's square is 0.8 of its mean's square: six deviations.
    const double spread = std::sqrt(0.8 / static_cast<double>(parameter->numel()));
    EXPECT_NEAR(parameter->pow(2).mean().item<double>() * fans / 2, 1, 6 * spread);
  }
  EXPECT_EQ(layer->expand->bias.abs().max().item<double>(), 0);
}

// Without gradients the layer packs its weights and reuses memory; with them it records the formula.
TEST(EncoderLayer, InfersWhatItComputesInTraining) {
  const at::Tensor long_offsets = at::tensor({0, 1300, 1300, 1341, 2600}, at::kLong);
  const at::Tensor x = at::randn({2600, 32});
  const AttentionKind kinds[] = {
      ExactOptions{}, NystromOptions{.landmarks = 8, .conv = 5},
      LinformerOptions{.projected = 8, .max_length = 1400, .sharing = LinformerSharing::kNone},
      LinformerOptions{.projected = 8, .max_length = 1400, .sharing = LinformerSharing::kKeyValue}};
  for (const AttentionKind& kind : kinds) {
    for (const NormPosition norm : {NormPosition::kPre, NormPosition::kPost}) {
      EncoderLayerOptions chosen = options();
      chosen.attention = {.width = 32, .heads = 4, .kind = kind};
      chosen.norm = norm;
      EncoderLayer layer(chosen);
      layer->eval();
      const at::Tensor before = x.clone(), trained = layer(x, long_offsets);
      const at::NoGradGuard no_grad;
      EXPECT_LE(max_error(layer(x, long_offsets), trained), 1e-5) << kind.index();
      EXPECT_TRUE(at::equal(x, before)) << "the input is the caller's";
    }
  }
}

TEST(EncoderLayer, SeesUncountedWritesWhenItIsSetToInfer) {
  EncoderLayer layer(options());
  layer->eval();
  const at::Tensor x = at::randn({9, 8});
  const at::NoGradGuard no_grad;
  layer(x, offsets());
  for (at::Tensor& parameter : layer->parameters()) parameter.data().mul_(0.5);
  layer->eval();
  const at::Tensor inferred = layer(x, offsets());
  const at::AutoGradMode with_gradients(true);
  EXPECT_LE(max_error(inferred, layer(x, offsets())), 1e-5);
}

// An optimizer may write without counting between two looks at a model that is in training.
TEST(EncoderLayer, PacksNothingWhileItTrains) {
  EncoderLayer layer(options());
  const at::Tensor x = at::randn({9, 8});
  at::Tensor looked;
  {
    const at::NoGradGuard no_grad;
    layer(x, offsets());
    for (at::Tensor& parameter : layer->parameters()) parameter.data().mul_(0.5);
    looked = layer(x, offsets());
  }
  EXPECT_LE(max_error(looked, layer(x, offsets())), 1e-5);
}

}  // namespace
}  // namespace lowrank::nn
