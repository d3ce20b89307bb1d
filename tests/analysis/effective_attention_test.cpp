// SPDX-License-Identifier: Apache-2.0
#include "lowrank/analysis/effective_attention.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/analysis/layer_heads.h"
#include "lowrank/ops/reference.h"
#include "tests/support/attention_kinds.h"
#include "tests/support/small_model.h"

namespace lowrank::analysis {
namespace {

using lowrank::testing::one_sequence;
using lowrank::testing::small_config;
using lowrank::testing::small_model;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Two ways to sum a few dozen float64 numbers of order 1 differ by less.
constexpr double kRounding = 1e-12;

double max_error(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

// A of each head, [h, n, n], one row after the other.
at::Tensor dense(const EffectiveAttention& attention) {
  std::vector<int64_t> all;
  for (int64_t i = 0; i < attention.length(); ++i) all.push_back(i);
  std::vector<at::Tensor> heads;
  for (int64_t head = 0; head < attention.heads(); ++head)
    heads.push_back(attention.rows(head, all));
  return at::stack(heads);
}

// For each layer, what `visit` makes of the step.
void each_layer(models::Model& model, const models::Inputs& sequence,
                const std::function<void(const models::LayerStep&)>& visit) {
  const at::NoGradGuard no_grad;
  model.walk(sequence, [&](const models::LayerStep& step) {
    visit(step);
    return step();
  });
}

models::ModelConfig one_channel_a_head(const AttentionKind& kind) {
  models::ModelConfig config = small_config(kind);
  config.heads = 12;
  return config;
}

class EveryKind : public ::testing::TestWithParam<testing::NamedKind> {};

INSTANTIATE_TEST_SUITE_P(EffectiveAttention, EveryKind,
                         ::testing::ValuesIn(testing::attention_kinds()),
                         testing::kind_name<::testing::TestParamInfo<testing::NamedKind>>);

// Heads of one channel: there is one way to weigh a channel, and every kind is a matrix.
TEST_P(EveryKind, IsTheMatrixThatTheLayerMultipliesItsValuesWith) {
  const auto model = small_model(one_channel_a_head(GetParam().kind));
  for (const int64_t n : {1, 3, 19, 33}) {
    each_layer(*model, one_sequence(n), [&](const models::LayerStep& step) {
      nn::EncoderLayer layer = step.layer;
      nn::Attention& attention = layer->attention;
      const at::Tensor x = layer->attention_input(step.x);
      at::Tensor values = attention->value(x).view({n, 12, 1}).transpose(0, 1);
      const at::Tensor matrix = dense(EffectiveAttention(step));
      at::Tensor heads = at::bmm(matrix, values);
      if (attention->filter.defined()) {  // what notes() says is left out
        const at::Tensor both = nystrom_attention(
            attention->project(x).q, attention->project(x).k, attention->project(x).v, step.offsets,
            std::get<NystromOptions>(GetParam().kind), attention->filter);
        NystromOptions without = std::get<NystromOptions>(GetParam().kind);
        without.conv = 0;
        const auto [q, k, v] = attention->project(x);
        heads = heads + (both - nystrom_attention(q, k, v, step.offsets, without)).transpose(0, 1);
      }
      const at::Tensor got = attention->join_heads(heads.transpose(0, 1).contiguous());
      const at::Tensor expected = attention(x, step.offsets, step.shared_e, step.mask);
      EXPECT_LE(max_error(got, expected), kRounding) << n;
    });
  }
}

TEST_P(EveryKind, GivesTheSameFromBothSides) {
  const auto model = small_model(small_config(GetParam().kind));
  each_layer(*model, one_sequence(21), [&](const models::LayerStep& step) {
    const EffectiveAttention attention(step);
    const at::Tensor matrix = dense(attention);
    EXPECT_GT(matrix.abs().max().item<double>(), 0);
    for (int64_t head = 0; head < 3; ++head) {
      const std::vector<int64_t> places = {20, 0, 7};
      const at::Tensor index = at::tensor(places, at::kLong);
      EXPECT_LE(max_error(attention.columns(head, places), matrix[head].index_select(1, index).t()),
                kRounding);
      const at::Tensor x = at::randn({2, 21}, at::kDouble);
      EXPECT_LE(max_error(attention.left(head, x), at::mm(x, matrix[head])), kRounding);
      EXPECT_LE(max_error(attention.right(head, x.t()), at::mm(matrix[head], x.t())), kRounding);
    }
  });
}

TEST_P(EveryKind, RollsOutAsTheProductOfDenseMatrices) {
  const auto model = small_model(small_config(GetParam().kind));
  const models::Inputs sequence = one_sequence(21);
  const at::Tensor eye = at::eye(21, at::kDouble);
  at::Tensor product = eye, of_head = eye;
  each_layer(*model, sequence, [&](const models::LayerStep& step) {
    const at::Tensor matrix = dense(EffectiveAttention(step));
    product = at::mm((matrix.mean(0) + eye) / 2, product);
    of_head = at::mm((matrix[2] + eye) / 2, of_head);
  });
  EXPECT_LE(max_error(rollout(*model, sequence), product.mean(0)), kRounding);
  EXPECT_LE(max_error(rollout(*model, sequence, {.from = 5}), product[5]), kRounding);
  EXPECT_LE(max_error(rollout(*model, sequence, {.from = 5, .head = 2}), of_head[5]), kRounding);
}

TEST(EffectiveAttention, OfExactAttentionIsTheSoftmaxMatrix) {
  const auto model = small_model(small_config(ExactOptions{.scale = 0.3}));
  each_layer(*model, one_sequence(19), [&](const models::LayerStep& step) {
    const LayerHeads heads = heads_of(step);
    const at::Tensor expected = at::softmax(at::bmm(heads.q, heads.k.transpose(1, 2)) * 0.3, -1);
    EXPECT_LE(max_error(dense(EffectiveAttention(step)), expected), kRounding);
  });
}

// The plain formula applied to the columns of the identity.
TEST(EffectiveAttention, OfNystromIsTheFormulaOfTheUnitVectors) {
  const auto model = small_model(small_config(NystromOptions{.landmarks = 4, .inverse_steps = 9}));
  each_layer(*model, one_sequence(19), [&](const models::LayerStep& step) {
    const LayerHeads heads = heads_of(step);
    const auto in_rows = [](const at::Tensor& x) { return x.transpose(0, 1); };
    std::vector<at::Tensor> columns;  // values have as many channels as a head: four at a time
    for (const at::Tensor& units : at::eye(19, 20, at::kDouble).split(4, 1)) {
      columns.push_back(reference::nystrom_attention(
          in_rows(heads.q), in_rows(heads.k), units.unsqueeze(1).expand({19, 3, 4}), step.offsets,
          {.landmarks = 4, .inverse_steps = 9}));
    }
    const at::Tensor expected = at::cat(columns, 2).slice(2, 0, 19);
    EXPECT_LE(max_error(dense(EffectiveAttention(step)), in_rows(expected)), kRounding);
  });
}

TEST(EffectiveAttention, OfNystromIsExactWhereTheKindIs) {
  const models::Inputs sequence = one_sequence(19);
  const auto exact = small_model(small_config(ExactOptions{}));
  const auto nystrom = small_model(small_config(NystromOptions{.landmarks = 4, .exact_up_to = 19}));
  EXPECT_LE(max_error(rollout(*exact, sequence), rollout(*nystrom, sequence)), kRounding);
}

TEST(EffectiveAttention, OfALearnedProjectionHasEntriesBelowZero) {
  const auto model = small_model(small_config(LinformerOptions{.projected = 5, .max_length = 33}));
  each_layer(*model, one_sequence(19), [&](const models::LayerStep& step) {
    const at::Tensor matrix = dense(EffectiveAttention(step));
    const double negative = matrix.lt(0).to(at::kDouble).mean().item<double>();
    EXPECT_GT(negative, 0.2);
    EXPECT_LT(negative, 0.8);
  });
}

// Tiles are of 4 M probabilities: 3 rows of 1,500,000 keys are two of them.
TEST(SoftmaxMatrix, IsTheSameInTiles) {
  at::manual_seed(2);
  const SoftmaxMatrix matrix{at::randn({1, 3, 2}, at::kDouble),
                             at::randn({1, 1'500'000, 2}, at::kDouble), 0.5};
  const at::Tensor whole = at::softmax(at::mm(matrix.a[0] * 0.5, matrix.b[0].t()), -1);
  const at::Tensor x = at::randn({2, 3}, at::kDouble);
  EXPECT_LE(max_error(matrix.left(0, x), at::mm(x, whole)), kRounding);
  const at::Tensor y = at::randn({1'500'000, 1}, at::kDouble);
  EXPECT_LE(max_error(matrix.right(0, y), at::mm(whole, y)), kRounding);
}

TEST(Look, IsARowOrAColumnOfOneHeadOrOfTheirMean) {
  const auto model = small_model(small_config(NystromOptions{.landmarks = 4, .conv = 5}));
  const models::Inputs sequence = one_sequence(19);
  std::vector<at::Tensor> matrices;
  each_layer(*model, sequence, [&](const models::LayerStep& step) {
    matrices.push_back(dense(EffectiveAttention(step)));
  });
  std::vector<std::string> notes;
  const at::Tensor rows = look(*model, sequence, 1, std::nullopt, Side::kRows, {0, 17}, &notes);
  EXPECT_LE(max_error(rows, matrices[1].mean(0).index_select(0, at::tensor({0, 17}))), kRounding);
  const at::Tensor column = look(*model, sequence, 0, 2, Side::kColumns, {5});
  EXPECT_LE(max_error(column, matrices[0][2].select(1, 5).unsqueeze(0)), kRounding);
  EXPECT_THAT(notes, ElementsAre("the convolution of layer 1 (5 taps over neighbors) is left out"));
}

TEST(Look, RefusesWhatIsNotThere) {
  const auto model = small_model(small_config(ExactOptions{}));
  const models::Inputs sequence = one_sequence(9);
  const auto refuses = [&](int64_t layer, int64_t head, int64_t place, const char* sentence) {
    EXPECT_THAT([&] { look(*model, sequence, layer, head, Side::kRows, {place}); },
                ThrowsMessage<Error>(HasSubstr(sentence)));
  };
  refuses(2, 0, 0, "layer = 2; the model has 2, from 0 to 1.");
  refuses(0, 3, 0, "head = 3; a layer has 3, from 0 to 2.");
  refuses(0, 0, 9, "row = 9; the sequence has 9, from 0 to 8.");
  EXPECT_THAT([&] { look(*model, sequence, 0, 0, Side::kColumns, {-1}); },
              ThrowsMessage<Error>(HasSubstr("column = -1; the sequence has 9")));
  EXPECT_THAT([&] { rollout(*model, sequence, {.from = 9}); },
              ThrowsMessage<Error>(HasSubstr("row = 9; the sequence has 9")));
  EXPECT_THAT([&] { rollout(*model, one_sequence(0)); },
              ThrowsMessage<Error>(HasSubstr("The sequence has no tokens")));
}

TEST(Look, RefusesWhatAnotherImplementationPads) {
  models::ModelConfig config = small_config(NystromOptions{.landmarks = 4});
  config.compat = {.profile = Profile::kHuggingFace, .segment_length = 32};
  const auto pads = small_model(config);
  EXPECT_THAT([&] { rollout(*pads, one_sequence(9)); },
              ThrowsMessage<Error>(HasSubstr("profile \"hf\" and pads this text")));
  EXPECT_THAT([&] { rollout(*pads, one_sequence(32)); },
              ThrowsMessage<Error>(HasSubstr("landmarks are of another implementation")));
  // Landmarks of a token each: exact attention, of any length, as transformers' own checkpoints have.
  config.compat.segment_length = 4;
  const auto exact = small_model(config);
  each_layer(*exact, one_sequence(9), [&](const models::LayerStep& step) {
    const LayerHeads heads = heads_of(step);
    EXPECT_LE(max_error(dense(EffectiveAttention(step))[1], heads.matrix(1)), kRounding);
  });
}

}  // namespace
}  // namespace lowrank::analysis
