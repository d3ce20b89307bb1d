// SPDX-License-Identifier: Apache-2.0
#include "lowrank/nn/attention.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/nn/ragged.h"
#include "tests/support/attention_kinds.h"

namespace lowrank::nn {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Two ways to sum a few hundred float64 numbers of order 1 differ by less.
constexpr double kRounding = 1e-12;

constexpr int64_t kWidth = 12, kHeads = 3;

at::Tensor int64s(std::vector<int64_t> values) { return at::tensor(values, at::kLong); }

double max_error(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

AttentionOptions options_of(const AttentionKind& kind) {
  return {.width = kWidth, .heads = kHeads, .kind = kind};
}

struct Layer {
  explicit Layer(const AttentionOptions& options) : attention(options) {
    attention->to(at::kDouble);
    for (auto& parameter : attention->named_parameters()) {  // biases start at 0, which hides them
      const at::NoGradGuard no_grad;
      if (parameter->dim() == 1) parameter->normal_();
    }
    const auto* kind = std::get_if<LinformerOptions>(&options.kind);
    if (!kind || kind->sharing != LinformerSharing::kLayerwise) return;
    shared_e = make_projection(options);
    if (shared_e.defined()) shared_e = shared_e.to(at::kDouble).requires_grad_();
  }
  at::Tensor operator()(const at::Tensor& x, const at::Tensor& offsets) {
    return attention(x, offsets, shared_e);
  }

  Attention attention;
  at::Tensor shared_e;
};

class EveryKind : public ::testing::TestWithParam<testing::NamedKind> {
 protected:
  void SetUp() override { at::manual_seed(7); }
  Layer make() const { return Layer(options_of(GetParam().kind)); }
};

INSTANTIATE_TEST_SUITE_P(Attention, EveryKind, ::testing::ValuesIn(testing::attention_kinds()),
                         testing::kind_name<::testing::TestParamInfo<testing::NamedKind>>);

// NaN in the others: nothing of them may even be multiplied by zero.
TEST_P(EveryKind, ReadsOnlyTheSequencesOwnRows) {
  Layer layer = make();
  const at::Tensor offsets = int64s({0, 11, 31, 31, 40});
  const at::Tensor x = at::randn({40, kWidth}, at::kDouble);
  at::Tensor other = at::full({40, kWidth}, std::nan(""), at::kDouble);
  other.slice(0, 11, 31).copy_(x.slice(0, 11, 31));
  EXPECT_TRUE(
      at::equal(layer(x, offsets).slice(0, 11, 31), layer(other, offsets).slice(0, 11, 31)));
}

TEST_P(EveryKind, DoesNotDependOnHowABatchIsCut) {
  Layer layer = make();
  const at::Tensor x = at::randn({40, kWidth}, at::kDouble);
  const at::Tensor together = layer(x, int64s({0, 1, 20, 20, 40}));
  const at::Tensor apart = at::cat({layer(x.slice(0, 0, 1), int64s({0, 1})),
                                    layer(x.slice(0, 1, 20), int64s({0, 0, 19})),
                                    layer(x.slice(0, 20, 40), int64s({0, 20}))});
  EXPECT_LE(max_error(together, apart), kRounding);
}

TEST_P(EveryKind, SendsFiniteGradientsToEveryParameter) {
  Layer layer = make();
  const at::Tensor x = at::randn({41, kWidth}, at::kDouble).requires_grad_();
  const at::Tensor out = layer(x, int64s({0, 1, 21, 21, 41}));
  (out * at::randn_like(out)).sum().backward();
  std::vector<at::Tensor> learned = layer.attention->parameters();
  learned.push_back(x);
  if (layer.shared_e.defined()) learned.push_back(layer.shared_e);
  for (const at::Tensor& parameter : learned) {
    ASSERT_TRUE(parameter.grad().defined()) << parameter.sizes();
    EXPECT_TRUE(parameter.grad().isfinite().all().item<bool>());
    EXPECT_GT(parameter.grad().abs().max().item<double>(), 0) << parameter.sizes();
  }
}

TEST_P(EveryKind, TakesOneRowAndNoRow) {
  Layer layer = make();
  EXPECT_TRUE(
      layer(at::randn({1, kWidth}, at::kDouble), int64s({0, 1})).isfinite().all().item<bool>());
  EXPECT_EQ(layer(at::randn({0, kWidth}, at::kDouble), int64s({0, 0})).sizes(),
            (at::IntArrayRef{0, kWidth}));
}

TEST_P(EveryKind, GivesTheSameBitsTwice) {
  Layer layer = make();
  const at::Tensor x = at::randn({33, kWidth}, at::kDouble), offsets = int64s({0, 33});
  EXPECT_TRUE(at::equal(layer(x, offsets), layer(x, offsets)));
}

TEST_P(EveryKind, AttendsAcrossSequencesOfDifferentLengths) {
  AttentionOptions options = options_of(GetParam().kind);
  if (auto* nystrom = std::get_if<NystromOptions>(&options.kind)) nystrom->conv = 0;
  Layer layer(options);
  const at::Tensor x = at::randn({13, kWidth}, at::kDouble);
  const at::Tensor context = at::randn({30, kWidth}, at::kDouble);
  const at::Tensor out = layer.attention->forward_cross(x, int64s({0, 9, 13}), context,
                                                        int64s({0, 6, 30}), layer.shared_e);
  const at::Tensor second = layer.attention->forward_cross(
      x.slice(0, 9), int64s({0, 4}), context.slice(0, 6), int64s({0, 24}), layer.shared_e);
  EXPECT_LE(max_error(out.slice(0, 9), second), kRounding);
  const at::Tensor itself = layer.attention->forward_cross(context, int64s({0, 6, 30}), context,
                                                           int64s({0, 6, 30}), layer.shared_e);
  EXPECT_LE(max_error(itself, layer(context, int64s({0, 6, 30}))), kRounding);
}

// --- Linformer ---

class LinformerAttention : public ::testing::Test {
 protected:
  void SetUp() override { at::manual_seed(7); }
};

Layer linformer(LinformerSharing sharing, LinformerProjection projection) {
  return Layer(options_of(LinformerOptions{
      .projected = 5, .max_length = 33, .sharing = sharing, .projection = projection}));
}

at::Tensor split(const at::Tensor& x) { return x.view({-1, kHeads, kWidth / kHeads}); }

// The paper's order: keys and values first, then E and F. The biases are not zero.
TEST_F(LinformerAttention, CompressingFirstIsTheSameFunction) {
  const at::Tensor x = at::randn({40, kWidth}, at::kDouble), offsets = int64s({0, 7, 7, 40});
  for (const LinformerSharing sharing :
       {LinformerSharing::kHeadwise, LinformerSharing::kKeyValue, LinformerSharing::kLayerwise}) {
    Layer layer = linformer(sharing, LinformerProjection::kLinear);
    Attention& a = layer.attention;
    const at::Tensor e = a->e.defined() ? a->e : layer.shared_e;
    const at::Tensor f = a->f.defined() ? a->f : e;
    const at::Tensor project_then_compress = linformer_attention(
        split(a->query(x)), split(a->key(x)), split(a->value(x)), e, f, offsets);
    EXPECT_LE(max_error(layer(x, offsets), a->output(project_then_compress.flatten(1))), kRounding);
  }
}

// What compress() shows is what forward() reads.
TEST_P(EveryKind, IsMadeOfItsSteps) {
  Layer layer = make();
  const at::Tensor x = at::randn({40, kWidth}, at::kDouble), offsets = int64s({0, 7, 7, 40});
  const auto [q, k, v] = layer.attention->project(x);
  at::Tensor heads;
  if (std::holds_alternative<LinformerOptions>(GetParam().kind)) {
    const auto [keys, values, rows] = layer.attention->compress(x, offsets, layer.shared_e);
    const auto split = [&](const at::Tensor& t) { return t.view({-1, kHeads, kWidth / kHeads}); };
    heads = exact_cross_attention(q, split(keys), split(values), offsets, rows);
  } else if (const auto* nystrom = std::get_if<NystromOptions>(&GetParam().kind)) {
    heads = nystrom_attention(q, k, v, offsets, *nystrom, layer.attention->filter);
  } else {
    heads = exact_attention(q, k, v, offsets);
  }
  EXPECT_LE(max_error(layer.attention->join_heads(heads), layer(x, offsets)), kRounding);
}

TEST(Attention, OnlyLinformerCompresses) {
  Layer layer(options_of(ExactOptions{}));
  EXPECT_THAT(
      [&] {
        layer.attention->compress(at::zeros({3, kWidth}, at::kDouble), int64s({0, 3}));
      },
      ThrowsMessage<c10::Error>(HasSubstr("only Linformer attention compresses")));
}

TEST_F(LinformerAttention, PoolsAreTheMeanAndTheMaximumOfEachWindow) {
  const at::Tensor x = at::randn({10, kWidth}, at::kDouble), offsets = int64s({0, 10});
  const std::vector<at::Tensor> cuts = x.split(7);  // ceil(33 / 5)
  for (const auto projection : {LinformerProjection::kMeanPool, LinformerProjection::kMaxPool}) {
    Layer layer = linformer(LinformerSharing::kKeyValue, projection);
    Attention& a = layer.attention;
    const auto pool = [&](const at::Tensor& rows) {
      return projection == LinformerProjection::kMeanPool ? rows.mean(0) : rows.amax(0);
    };
    const at::Tensor keys = at::stack({pool(a->key(cuts[0])), pool(a->key(cuts[1]))});
    const at::Tensor values = at::stack({pool(a->value(cuts[0])), pool(a->value(cuts[1]))});
    const at::Tensor expected = exact_cross_attention(split(a->query(x)), split(keys),
                                                      split(values), offsets, int64s({0, 2}));
    EXPECT_LE(max_error(layer(x, offsets), a->output(expected.flatten(1))), kRounding);
  }
}

TEST_F(LinformerAttention, ConvolutionIsTheStridedConvolutionOfOwnRowsZeroPadded) {
  const at::Tensor x = at::randn({10, kWidth}, at::kDouble), offsets = int64s({0, 10});
  Layer layer = linformer(LinformerSharing::kNone, LinformerProjection::kConv);
  Attention& a = layer.attention;
  {
    const at::NoGradGuard no_grad;
    a->e.normal_();
    a->f.normal_();
  }
  const auto convolve = [&](const at::Tensor& rows, const at::Tensor& taps) {
    const at::Tensor padded = at::constant_pad_nd(rows.t(), {0, 4}).unsqueeze(0);
    const std::vector<int64_t> stride = {7}, padding = {0}, dilation = {1};
    return at::conv1d(padded, taps.unsqueeze(1), {}, stride, padding, dilation, kWidth)
        .squeeze(0)
        .t();
  };
  const at::Tensor expected = exact_cross_attention(
      split(a->query(x)), split(convolve(a->key(x), a->e).contiguous()),
      split(convolve(a->value(x), a->f).contiguous()), offsets, int64s({0, 2}));
  EXPECT_LE(max_error(layer(x, offsets), a->output(expected.flatten(1))), kRounding);
}

TEST_F(LinformerAttention, ConvolutionStartsAsMeanPool) {
  const at::Tensor x = at::randn({14, kWidth}, at::kDouble), offsets = int64s({0, 14});
  Layer conv = linformer(LinformerSharing::kHeadwise, LinformerProjection::kConv);
  Layer pool = linformer(LinformerSharing::kHeadwise, LinformerProjection::kMeanPool);
  const at::NoGradGuard no_grad;
  for (auto& parameter : pool.attention->named_parameters()) {
    parameter->copy_(conv.attention->named_parameters()[parameter.key()]);
  }
  const double rounded_taps = std::ldexp(1, -24) * 14;  // 1 / 7 in float32, summed 14 times
  EXPECT_LE(max_error(conv(x, offsets), pool(x, offsets)), rounded_taps);
}

TEST_F(LinformerAttention, HasTheParametersThatTheHeaderCounts) {
  const int64_t d = kWidth / kHeads, r = 5, n_max = 33, w = 7;
  const auto learned = [](LinformerSharing sharing, LinformerProjection projection) {
    int64_t count = 0;
    const Layer layer = linformer(sharing, projection);
    for (const at::Tensor& parameter : layer.attention->parameters()) count += parameter.numel();
    return count - 4 * (kWidth * kWidth + kWidth);
  };
  using Sharing = LinformerSharing;
  constexpr auto kLinear = LinformerProjection::kLinear, kConv = LinformerProjection::kConv;
  EXPECT_EQ(learned(Sharing::kNone, kLinear), 2 * kHeads * r * n_max);
  EXPECT_EQ(learned(Sharing::kHeadwise, kLinear), 2 * r * n_max);
  EXPECT_EQ(learned(Sharing::kKeyValue, kLinear), r * n_max);
  EXPECT_EQ(learned(Sharing::kLayerwise, kLinear), 0);
  EXPECT_EQ(learned(Sharing::kNone, kConv), 2 * kWidth * w);
  EXPECT_EQ(learned(Sharing::kHeadwise, kConv), 2 * d * w);
  EXPECT_EQ(learned(Sharing::kKeyValue, kConv), d * w);
  EXPECT_EQ(learned(Sharing::kNone, LinformerProjection::kMaxPool), 0);
}

// The variance of the mean of s squared normal numbers is 2 / s: six deviations.
TEST_F(LinformerAttention, StartsWithProjectedKeysOfTheVarianceOfOneRow) {
  const AttentionOptions options{
      .width = 64, .heads = 2, .kind = LinformerOptions{.projected = 64, .max_length = 1024}};
  const at::Tensor e = make_projection(options).to(at::kDouble);
  const at::Tensor projected = at::matmul(e, at::randn({1024, 64}, at::kDouble));
  const double samples = 64 * 64;
  EXPECT_NEAR(projected.pow(2).mean().item<double>(), 1, 6 * std::sqrt(2 / samples));
}

TEST_F(LinformerAttention, RefusesASequenceLongerThanItsMaxLength) {
  for (const auto& [name, kind] : testing::attention_kinds()) {
    if (!std::holds_alternative<LinformerOptions>(kind)) continue;
    Layer layer(options_of(kind));
    const auto run = [&] { layer(at::randn({40, kWidth}, at::kDouble), int64s({0, 34, 40})); };
    EXPECT_THAT(run, ThrowsMessage<c10::ValueError>(AllOf(HasSubstr("34"), HasSubstr("33"))))
        << name;
  }
}

TEST_F(LinformerAttention, AsksForTheEncodersProjectionWhenLayerwise) {
  Layer layer = linformer(LinformerSharing::kLayerwise, LinformerProjection::kLinear);
  const auto run = [&] { layer.attention(at::randn({4, kWidth}, at::kDouble), int64s({0, 4})); };
  EXPECT_THAT(run, ThrowsMessage<c10::ValueError>(HasSubstr("make_projection")));
}

// --- every kind, once ---

TEST(Attention, RefusesHeadsThatDoNotDivideTheWidth) {
  const auto make = [] { Attention attention(AttentionOptions{.width = 10, .heads = 3}); };
  EXPECT_THAT(
      make, ThrowsMessage<c10::ValueError>(AllOf(HasSubstr("heads = 3"), HasSubstr("width = 10"))));
}

TEST(Attention, DropsItsOutputInTrainingOnly) {
  Attention attention(AttentionOptions{.width = 8, .heads = 2, .kind = {}, .dropout = 0.5});
  const at::Tensor x = at::randn({64, 8}), offsets = int64s({0, 64});
  const at::Tensor trained = attention(x, offsets);
  attention->eval();
  const at::Tensor evaluated = attention(x, offsets);
  const double dropped = trained.eq(0).to(at::kDouble).mean().item<double>();
  EXPECT_NEAR(dropped, 0.5, 6 * 0.5 / std::sqrt(64 * 8));  // six deviations
  EXPECT_EQ(evaluated.eq(0).sum().item<int64_t>(), 0);
  EXPECT_LE(
      max_error(trained.masked_select(trained.ne(0)), 2 * evaluated.masked_select(trained.ne(0))),
      1e-6);
}

TEST(Attention, RunsInBfloat16UnderAutocastAndAsAWhole) {
  const at::Tensor offsets = int64s({0, 12, 33});
  for (const auto& [name, kind] : testing::attention_kinds()) {
    at::manual_seed(3);
    const AttentionOptions options = options_of(kind);
    Attention attention(options);
    at::Tensor shared_e = make_projection(options);
    const at::Tensor x = at::randn({33, kWidth});
    const at::Tensor full = attention(x, offsets, shared_e);
    // bfloat16 keeps 8 bits: x, weights, q, k, v, core and output are rounded once each, and the
    // errors of q, k and v go through a softmax, which at most doubles them.
    const double limit = 10 * std::ldexp(full.abs().max().item<double>(), -8);
    at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
    at::autocast::set_autocast_enabled(at::kCPU, true);
    const at::Tensor mixed = attention(x, offsets, shared_e);
    at::autocast::set_autocast_enabled(at::kCPU, false);
    at::autocast::clear_cache();
    EXPECT_LE(max_error(mixed.to(at::kFloat), full), limit) << name;
    attention->to(at::kBFloat16);
    const at::Tensor half = attention(x.to(at::kBFloat16), offsets, shared_e);
    EXPECT_EQ(half.scalar_type(), at::kBFloat16);
    EXPECT_LE(max_error(half.to(at::kFloat), full), limit) << name;
  }
}

}  // namespace
}  // namespace lowrank::nn
