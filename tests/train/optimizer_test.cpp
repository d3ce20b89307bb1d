// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/optimizer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/optim/adamw.h>

#include <map>

#include "lowrank/base/error.h"

namespace lowrank::train {
namespace {

constexpr std::array<double, 2> kBetas = {0.9, 0.98};
constexpr double kEpsilon = 1e-8, kRate = 1e-2, kDecay = 0.05;

at::Tensor parameter(at::IntArrayRef sizes) { return at::randn(sizes).requires_grad_(); }

// The formula of the header, in float64.
struct PlainAdamW {
  at::Tensor p, m, v;
  int64_t t = 0;

  explicit PlainAdamW(const at::Tensor& start)
      : p(start.detach().to(at::kDouble).clone()), m(at::zeros_like(p)), v(at::zeros_like(p)) {}

  void step(const at::Tensor& gradient, double rate) {
    const at::Tensor g = gradient.to(at::kDouble);
    const auto n = static_cast<double>(++t);
    p = p - rate * kDecay * p;
    m = kBetas[0] * m + (1 - kBetas[0]) * g;
    v = kBetas[1] * v + (1 - kBetas[1]) * g * g;
    const at::Tensor mean = m / (1 - std::pow(kBetas[0], n));
    const at::Tensor square = v / (1 - std::pow(kBetas[1], n));
    p = p - rate * mean / (square.sqrt() + kEpsilon);
  }
};

double max_error(const at::Tensor& a, const at::Tensor& b) {
  return (a.detach().to(at::kDouble) - b.detach().to(at::kDouble)).abs().max().item<double>();
}

// Error against the formula in float64: at most twice that of torch's AdamW, which is not fused, plus
// the rounding of the parameter itself.
TEST(AdamW, IsAsAccurateAsTorchsOwn) {
  at::manual_seed(1);
  const at::Tensor fused = parameter({33, 17});
  const at::Tensor plain = fused.detach().clone().requires_grad_();
  PlainAdamW oracle(fused);
  AdamW optimizer({{{{"p", fused}}, kRate, kDecay}}, kBetas, kEpsilon);
  torch::optim::AdamW torchs({plain}, torch::optim::AdamWOptions(kRate)
                                          .betas({kBetas[0], kBetas[1]})
                                          .eps(kEpsilon)
                                          .weight_decay(kDecay));
  for (int i = 0; i < 30; ++i) {
    const at::Tensor gradient = at::randn({33, 17}) * std::pow(10.0, i % 5 - 3);
    fused.mutable_grad() = gradient.clone();
    plain.mutable_grad() = gradient.clone();
    optimizer.step(1);
    torchs.step();
    oracle.step(gradient, kRate);
  }
  const double rounding = 1.2e-7 * oracle.p.abs().max().item<double>();
  const double error = max_error(fused, oracle.p);
  EXPECT_TRUE(error <= 2 * max_error(plain, oracle.p) + rounding) << error;
}

TEST(AdamW, CountsAVersionOfWhatItWrites) {
  const at::Tensor moved = parameter({3}), still = parameter({3});
  AdamW optimizer({{{{"moved", moved}, {"still", still}}, kRate, kDecay}}, kBetas, kEpsilon);
  moved.mutable_grad() = at::ones({3});
  const auto version = moved._version(), untouched = still._version();
  optimizer.step(1);
  EXPECT_GT(moved._version(), version);
  EXPECT_EQ(still._version(), untouched);
}

TEST(AdamW, ScalesEveryGroupsRate) {
  const at::Tensor a = at::ones({3}).requires_grad_(), b = at::ones({3}).requires_grad_();
  AdamW optimizer({{{{"a", a}}, 0.1, 0}, {{{"b", b}}, 0.4, 0}}, kBetas, kEpsilon);
  for (const at::Tensor& p : {a, b}) p.mutable_grad() = at::full({3}, 2.0);
  optimizer.step(0.5);
  // The first step of Adam moves by the rate, whatever the gradient's size.
  EXPECT_NEAR(a[0].item<double>(), 1 - 0.05, 1e-6);
  EXPECT_NEAR(b[0].item<double>(), 1 - 0.2, 1e-6);
}

TEST(AdamW, LeavesAParameterWithoutAGradient) {
  const at::Tensor used = at::ones({2}).requires_grad_(), unused = at::ones({2}).requires_grad_();
  AdamW optimizer({{{{"used", used}, {"unused", unused}}, kRate, kDecay}}, kBetas, kEpsilon);
  used.mutable_grad() = at::ones({2});
  optimizer.step(1);
  EXPECT_TRUE(at::equal(unused, at::ones({2})));
  EXPECT_FALSE(at::equal(used, at::ones({2})));
}

TEST(AdamW, ClipsTheNormOfAllGradientsTogether) {
  const at::Tensor a = at::zeros({2}).requires_grad_(), b = at::zeros({1}).requires_grad_();
  AdamW optimizer({{{{"a", a}}, kRate, 0}, {{{"b", b}}, kRate, 0}}, kBetas, kEpsilon);
  const auto set = [&] {
    a.mutable_grad() = at::tensor({0.0f, 3.0f});
    b.mutable_grad() = at::tensor({4.0f});
  };
  set();
  EXPECT_DOUBLE_EQ(optimizer.clip(2), 5);
  EXPECT_FLOAT_EQ(a.grad()[1].item<float>(), 1.2f);
  EXPECT_FLOAT_EQ(b.grad()[0].item<float>(), 1.6f);
  for (const double most : {0.0, 5.0}) {
    set();
    EXPECT_DOUBLE_EQ(optimizer.clip(most), 5);
    EXPECT_EQ(b.grad()[0].item<float>(), 4.0f);
  }
}

TEST(AdamW, ForgetsGradientsAndTheirMemory) {
  const at::Tensor a = at::zeros({2}).requires_grad_();
  AdamW optimizer({{{{"a", a}}, kRate, 0}}, kBetas, kEpsilon);
  a.mutable_grad() = at::ones({2});
  optimizer.zero_grad();
  EXPECT_FALSE(a.grad().defined());
  EXPECT_EQ(optimizer.clip(1), 0);
}

TEST(AdamW, GoesOnWithTheSameBitsFromItsState) {
  at::manual_seed(2);
  const at::Tensor a = parameter({5, 4});
  AdamW first({{{{"a", a}}, kRate, kDecay}}, kBetas, kEpsilon);
  const auto step = [](AdamW& optimizer, const at::Tensor& p) {
    p.mutable_grad() = p.detach().sin();
    optimizer.step(1);
  };
  for (int i = 0; i < 3; ++i) step(first, a);
  const at::Tensor b = a.detach().clone().requires_grad_();
  AdamW second({{{{"a", b}}, kRate, kDecay}}, kBetas, kEpsilon);
  second.load_state(first.state(), "optimizer.safetensors");
  for (int i = 0; i < 3; ++i) {
    step(first, a);
    step(second, b);
  }
  EXPECT_TRUE(at::equal(a, b));
}

TEST(AdamW, RefusesTheStateOfAnotherModel) {
  const at::Tensor a = parameter({5, 4}), b = parameter({4, 5});
  AdamW one({{{{"a", a}}, kRate, 0}}, kBetas, kEpsilon);
  AdamW misshapen({{{{"a", b}}, kRate, 0}}, kBetas, kEpsilon);
  AdamW missing({{{{"b", a}}, kRate, 0}}, kBetas, kEpsilon);
  for (AdamW* other : {&misshapen, &missing}) {
    try {
      other->load_state(one.state(), "folder/optimizer.safetensors");
      ADD_FAILURE() << "no Error was thrown";
    } catch (const Error& error) {
      EXPECT_THAT(error.what(), ::testing::HasSubstr("folder/optimizer.safetensors: tensor"));
    }
  }
}

TEST(ParameterGroups, DecayMatricesAloneAndGiveTokenTablesTheirOwnRate) {
  models::ModelConfig config;
  config.width = 8;
  config.layers = 1;
  config.feed_forward = 16;
  config.classes = {"a", "b"};
  config.embeddings.max_positions = 16;
  config.attention = {ExactOptions{}};
  TrainOptions options;
  options.embedding_learning_rate = 0.5;
  const models::Model model(config);
  std::map<std::string, std::pair<double, double>> rates;
  for (const ParameterGroup& group : parameter_groups(model, options)) {
    for (const auto& [name, tensor] : group.parameters) {
      rates[name] = {group.learning_rate, group.weight_decay};
    }
  }
  EXPECT_EQ(rates.size(), model.named_parameters().size());
  const std::pair decayed{options.learning_rate, options.weight_decay};
  const std::pair plain{options.learning_rate, 0.0};
  EXPECT_EQ(rates.at("embeddings.tokens"), (std::pair{0.5, 0.0}));
  EXPECT_EQ(rates.at("embeddings.positions"), plain);
  EXPECT_EQ(rates.at("layers.0.attention.query.weight"), decayed);
  EXPECT_EQ(rates.at("layers.0.attention.query.bias"), plain);
  EXPECT_EQ(rates.at("layers.0.norm1.weight"), plain);
  EXPECT_EQ(rates.at("classifier.weight"), decayed);
}

}  // namespace
}  // namespace lowrank::train
