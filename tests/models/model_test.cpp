// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/model.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/attention_kinds.h"
#include "tests/support/small_config.h"

namespace lowrank::models {
namespace {

using lowrank::testing::small_config;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Two ways to sum a few hundred float64 numbers of order 1 differ by less, layer norms included.
constexpr double kRounding = 1e-11;

at::Tensor int64s(std::vector<int64_t> values) { return at::tensor(values, at::kLong); }

double max_error(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

Model make(const ModelConfig& config) {
  at::manual_seed(17);
  Model model(config);
  model.to(at::kDouble);
  return model;
}

Inputs inputs(const std::vector<int64_t>& lengths, uint64_t seed = 3) {
  at::manual_seed(seed);
  std::vector<int64_t> offsets = {0};
  for (const int64_t length : lengths) offsets.push_back(offsets.back() + length);
  return {at::randint(20, {offsets.back()}, at::kLong), int64s(offsets), {}};
}

class EveryKind : public ::testing::TestWithParam<testing::NamedKind> {
 protected:
  // On tensors this small, threads spend their time waiting for one another.
  static void SetUpTestSuite() { at::set_num_threads(1); }
};

INSTANTIATE_TEST_SUITE_P(Model, EveryKind, ::testing::ValuesIn(testing::attention_kinds()),
                         testing::kind_name<::testing::TestParamInfo<testing::NamedKind>>);

TEST_P(EveryKind, WalksThroughItsLayersAsItEncodes) {
  for (const nn::NormPosition norm : {nn::NormPosition::kPre, nn::NormPosition::kPost}) {
    ModelConfig config = small_config(GetParam().kind);
    config.norm = norm;
    Model model = make(config);
    const Inputs batch = inputs({7, 20, 0, 1});
    std::vector<int64_t> seen;
    const nn::Embedded walked = model.walk(batch, [&](const LayerStep& step) {
      seen.push_back(step.index);
      nn::EncoderLayer layer = step.layer;
      return layer->complete(step.x, layer->attention(layer->attention_input(step.x), step.offsets,
                                                      step.shared_e, step.mask));
    });
    EXPECT_EQ(seen, (std::vector<int64_t>{0, 1}));
    EXPECT_LE(max_error(walked.x, model.encode(batch).x), kRounding);
    EXPECT_TRUE(at::equal(walked.offsets, batch.offsets));
  }
}

TEST(Model, EndsAWalkWhereALayerGivesNothing) {
  Model model = make(small_config(ExactOptions{}));
  int64_t layers = 0;
  const nn::Embedded walked = model.walk(inputs({5}), [&](const LayerStep&) {
    ++layers;
    return at::Tensor();
  });
  EXPECT_EQ(layers, 1);
  EXPECT_FALSE(walked.x.defined());
}

TEST_P(EveryKind, JudgesASequenceByItsOwnTokens) {
  for (const nn::NormPosition norm : {nn::NormPosition::kPre, nn::NormPosition::kPost}) {
    ModelConfig config = small_config(GetParam().kind);
    config.norm = norm;
    Model model = make(config);
    const Inputs batch = inputs({7, 20, 0, 1});
    Inputs others = batch;
    others.tokens = at::zeros_like(batch.tokens);
    others.tokens.slice(0, 7, 27).copy_(batch.tokens.slice(0, 7, 27));
    const at::Tensor logits = model.logits(batch);
    EXPECT_EQ(logits.sizes(), (at::IntArrayRef{4, 3}));
    EXPECT_TRUE(at::equal(logits[1], model.logits(others)[1]));
    const at::Tensor alone = model.logits({batch.tokens.slice(0, 7, 27), int64s({0, 20}), {}});
    EXPECT_LE(max_error(logits[1], alone[0]), kRounding);
  }
}

TEST_P(EveryKind, SendsFiniteGradientsToEveryParameter) {
  for (const Task task : {Task::kClassification, Task::kMaskedLanguageModel}) {
    Model model = make(small_config(GetParam().kind, task));
    const Inputs batch = inputs({20, 0, 1, 7, 33});
    const at::Tensor labels =
        task == Task::kClassification ? int64s({0, 1, 2, 0, 1}) : at::randint(20, {61}, at::kLong);
    const at::Tensor loss = model.loss(batch, labels);
    loss.backward();
    EXPECT_TRUE(std::isfinite(loss.item<double>()));
    for (const auto& parameter : model.named_parameters()) {
      ASSERT_TRUE(parameter->grad().defined()) << parameter.key();
      EXPECT_TRUE(parameter->grad().isfinite().all().item<bool>()) << parameter.key();
      EXPECT_GT(parameter->grad().abs().max().item<double>(), 0) << parameter.key();
    }
  }
}

// Plain gradient descent on eight sequences: a model that can learn halves its loss.
TEST_P(EveryKind, LearnsEightSequencesByHeart) {
  at::manual_seed(23);
  Model model(small_config(GetParam().kind));
  const Inputs batch = inputs({20, 3, 1, 7, 33, 12, 25, 9});
  const at::Tensor labels = int64s({0, 1, 2, 0, 1, 2, 0, 1});
  const double first = model.loss(batch, labels).item<double>();
  for (int step = 0; step < 40; ++step) {
    model.zero_grad();
    model.loss(batch, labels).backward();
    const at::NoGradGuard no_grad;
    for (at::Tensor& parameter : model.parameters()) parameter.sub_(parameter.grad(), 0.2);
  }
  EXPECT_LT(model.loss(batch, labels).item<double>(), first / 2);
}

TEST_P(EveryKind, EvaluatesToTheSameBitsTwice) {
  ModelConfig config = small_config(GetParam().kind);
  config.dropout = 0.3;
  config.embeddings.dropout = 0.3;
  Model model = make(config);
  const Inputs batch = inputs({7, 20});
  EXPECT_FALSE(at::equal(model.logits(batch), model.logits(batch)));
  model.eval();
  EXPECT_TRUE(at::equal(model.logits(batch), model.logits(batch)));
}

TEST(Model, PoolsTheMeanOrTheFirstOfASequencesRows) {
  ModelConfig config = small_config(ExactOptions{});
  const Inputs batch = inputs({7, 0, 20});
  for (const Pooling pooling : {Pooling::kMean, Pooling::kCls}) {
    config.pooling = pooling;
    Model model = make(config);
    const at::Tensor rows = model.encode(batch).x;
    const at::Tensor weight = model.named_parameters()["classifier.weight"];
    const auto pool = [&](const at::Tensor& own) {
      return pooling == Pooling::kMean ? own.mean(0) : own[0];
    };
    const at::Tensor logits = model.logits(batch);
    EXPECT_LE(max_error(logits[0], at::matmul(weight, pool(rows.slice(0, 0, 7)))), kRounding);
    EXPECT_LE(max_error(logits[2], at::matmul(weight, pool(rows.slice(0, 7, 27)))), kRounding);
    EXPECT_EQ(logits[1].abs().max().item<double>(), 0);  // pools to zeros; the bias starts at 0
    EXPECT_TRUE(model.logits(inputs({0})).isfinite().all().item<bool>());
  }
}

TEST(Model, ComputesTheMaskedLossFromLabelledRowsAlone) {
  Model model = make(small_config(NystromOptions{.landmarks = 4}, Task::kMaskedLanguageModel));
  const Inputs batch = inputs({20, 7});
  at::Tensor labels = at::full({27}, -100, at::kLong);
  for (const int64_t row : {1, 5, 20, 26}) labels[row] = row % 20;
  const at::Tensor logits = model.logits(batch);
  EXPECT_EQ(logits.sizes(), (at::IntArrayRef{27, 20}));
  const at::Tensor expected = at::cross_entropy_loss(logits, labels);  // ignores -100
  EXPECT_NEAR(model.loss(batch, labels).item<double>(), expected.item<double>(), kRounding);
}

ModelConfig retrieval_config() {
  ModelConfig config = small_config(NystromOptions{.landmarks = 4});
  config.task = Task::kRetrieval;
  config.head_activation = nn::Activation::kRelu;
  config.head_width = 10;
  return config;
}

TEST(Model, ComparesThePooledRowsOfTheTwoSequencesOfEachPair) {
  Model model = make(retrieval_config());
  const Inputs batch = inputs({7, 20, 3, 5});
  const at::Tensor logits = model.logits(batch);
  ASSERT_EQ(logits.sizes(), (at::IntArrayRef{2, 3}));
  const at::Tensor rows = model.encode(batch).x;
  const auto parameters = model.named_parameters();
  const auto expected = [&](int64_t begin, int64_t middle, int64_t end) {
    const at::Tensor p = rows.slice(0, begin, middle).mean(0),
                     q = rows.slice(0, middle, end).mean(0);
    const at::Tensor read = at::cat({p, q, p * q, p - q});
    const at::Tensor hidden =
        at::relu(at::linear(read, parameters["dense.weight"], parameters["dense.bias"]));
    EXPECT_EQ(hidden.numel(), 10);
    return at::linear(hidden, parameters["classifier.weight"], parameters["classifier.bias"]);
  };
  EXPECT_LE(max_error(logits[0], expected(0, 7, 27)), kRounding);
  EXPECT_LE(max_error(logits[1], expected(27, 30, 35)), kRounding);
  const at::Tensor loss = model.loss(batch, int64s({2, 0}));
  EXPECT_NEAR(loss.item<double>(), at::cross_entropy_loss(logits, int64s({2, 0})).item<double>(),
              kRounding);
  loss.backward();
  for (const auto& parameter : model.named_parameters()) {
    ASSERT_TRUE(parameter->grad().defined()) << parameter.key();
    EXPECT_GT(parameter->grad().abs().max().item<double>(), 0) << parameter.key();
  }
}

TEST(Model, ComparesNoSequenceThatHasNoOther) {
  Model model = make(retrieval_config());
  EXPECT_THAT(
      [&] {
        model.logits(inputs({7, 20, 3}));
      },
      ThrowsMessage<c10::ValueError>(HasSubstr("3 sequences; retrieval reads pairs")));
  EXPECT_THAT(
      [&] {
        model.loss(inputs({7, 20}), int64s({1, 0}));
      },
      ThrowsMessage<c10::ValueError>(HasSubstr("1 are needed, one a pair")));
}

TEST(Model, HasNoLossWithoutLabels) {
  for (const Task task : {Task::kClassification, Task::kMaskedLanguageModel}) {
    Model model = make(small_config(ExactOptions{}, task));
    const int64_t labels = task == Task::kClassification ? 2 : 27;
    const at::Tensor loss = model.loss(inputs({20, 7}), at::full({labels}, -100, at::kLong));
    EXPECT_EQ(loss.item<double>(), 0);
    loss.backward();
    for (const at::Tensor& parameter : model.parameters()) {
      ASSERT_TRUE(parameter.grad().defined());
      EXPECT_EQ(parameter.grad().abs().max().item<double>(), 0);
    }
  }
}

TEST(Model, StartsItsLossWhereGuessingIs) {
  at::manual_seed(4);
  Model model(small_config(ExactOptions{}, Task::kMaskedLanguageModel));
  const Inputs batch = inputs({33, 33, 33});
  // Logits of variance near 1 add half of it to log v.
  EXPECT_NEAR(model.loss(batch, at::randint(20, {99}, at::kLong)).item<double>(), std::log(20), 1);
}

TEST(Model, TakesDifferentKindsInDifferentLayersAndOneSharedProjection) {
  const LinformerOptions layerwise{
      .projected = 5, .max_length = 33, .sharing = LinformerSharing::kLayerwise};
  ModelConfig config = small_config(ExactOptions{});
  config.layers = 4;
  config.attention = {ExactOptions{}, layerwise, NystromOptions{.landmarks = 4}, layerwise};
  Model model = make(config);
  EXPECT_EQ(model.named_parameters()["shared_e"].sizes(), (at::IntArrayRef{5, 33}));
  EXPECT_TRUE(model.logits(inputs({20, 7})).isfinite().all().item<bool>());
}

TEST(Model, RowsArePatchesOfTokens) {
  ModelConfig config = small_config(NystromOptions{.landmarks = 4});
  config.embeddings.kind = nn::EmbeddingKind::kNgrams;
  config.embeddings.patch = 8;
  config.embeddings.buckets = 128;
  Model model = make(config);
  EXPECT_TRUE(at::equal(model.encode(inputs({20, 7, 0, 8})).offsets, int64s({0, 3, 4, 4, 5})));
}

TEST(Model, CountsItsParameters) {
  const Model model = make(small_config(ExactOptions{}));
  const int64_t c = 12, layer = 4 * (c * c + c) + 4 * c + 2 * 20 * c + 20 + c;
  EXPECT_EQ(parameter_count(model), (20 + 33) * c + 2 * layer + 2 * c + 3 * c + 3);
}

TEST(Model, RefusesAClassifierWithoutClasses) {
  ModelConfig config = small_config(ExactOptions{});
  config.classes = {};
  EXPECT_THAT([&] { Model model(config); },
              ThrowsMessage<Error>(HasSubstr("classes has 0 entries")));
}

TEST(Model, RefusesLabelsOfAnotherBatch) {
  Model model = make(small_config(ExactOptions{}));
  EXPECT_THAT(
      [&] {
        model.loss(inputs({20, 7}), int64s({1}));
      },
      ThrowsMessage<c10::ValueError>(HasSubstr("2 are needed, one a sequence")));
}

TEST(Model, LearnsTheOrderOfSentencesBesideTheMaskedTokens) {
  ModelConfig config = testing::small_config(ExactOptions{}, Task::kMaskedLanguageModel);
  config.sentence_order = true;
  Model model(config);
  const Inputs inputs{at::arange(6, at::kLong), at::tensor({0, 2, 6}, at::kLong), {}};
  const at::Tensor labels = at::tensor({-100, 3, -100, -100, -100, 4}, at::kLong);
  const at::Tensor order = at::tensor({1, 0}, at::kLong);
  const at::Tensor scores = model.order_logits(model.encode(inputs));
  EXPECT_EQ(scores.sizes(), (at::IntArrayRef{2, 2}));
  const at::Tensor both = model.loss(inputs, labels, order);
  EXPECT_LE(max_error(both, model.loss(inputs, labels) + at::cross_entropy_loss(scores, order)),
            1e-6);
  both.backward();
  EXPECT_TRUE(model.named_parameters()["order_dense.weight"].grad().defined());
  EXPECT_THROW(Model(testing::small_config(ExactOptions{}, Task::kMaskedLanguageModel))
                   .order_logits(model.encode(inputs)),
               c10::ValueError);
}

}  // namespace
}  // namespace lowrank::models
