// SPDX-License-Identifier: Apache-2.0
#include "lowrank/nn/packed_linear.h"

#include <ATen/ATen.h>
#include <ATen/autocast_mode.h>
#include <gtest/gtest.h>

#include <thread>

#include "lowrank/nn/initialize.h"

namespace lowrank::nn {
namespace {

constexpr double kRounding = 1e-5;          // of float32, against sums of 40 numbers of order 1
constexpr double kBfloat16Rounding = 2e-2;  // of the output's last bit, values up to 4

double max_error(const at::Tensor& a, const at::Tensor& b) {
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

torch::nn::Linear make_linear(int64_t outputs, bool bias = true) {
  torch::nn::Linear linear(torch::nn::LinearOptions(40, outputs).bias(bias));
  initialize(linear);
  const at::NoGradGuard no_grad;
  if (bias) linear->bias.normal_();
  return linear;
}

class PackedLinearTest : public ::testing::Test {
 protected:
  void SetUp() override {
    at::manual_seed(3);
    x_ = at::randn({37, 40});
    if (!PackedLinear({make_linear(8)}).fits(x_)) GTEST_SKIP() << "LibTorch has no oneDNN here";
  }

  const at::NoGradGuard no_grad_;
  at::Tensor x_;
};

TEST_F(PackedLinearTest, ComputesItsLayersSideBySide) {
  torch::nn::Linear a = make_linear(24), b = make_linear(56, /*bias=*/false);
  const PackedLinear packed({a, b});
  EXPECT_LE(max_error(packed(x_), at::cat({a(x_), b(x_)}, 1)), kRounding);
}

TEST_F(PackedLinearTest, AppliesTheActivation) {
  torch::nn::Linear a = make_linear(24);
  const PackedLinear packed({a});
  EXPECT_LE(max_error(packed(x_, Activation::kGelu), at::gelu(a(x_))), kRounding);
  EXPECT_LE(max_error(packed(x_, Activation::kGeluTanh), at::gelu(a(x_), "tanh")), kRounding);
  EXPECT_LE(max_error(packed(x_, Activation::kRelu), at::relu(a(x_))), kRounding);
  EXPECT_LE(max_error(packed(x_, Activation::kTanh), at::tanh(a(x_))), kRounding);
}

TEST_F(PackedLinearTest, TakesAnyNumberOfRowsAndAnyStrides) {
  torch::nn::Linear a = make_linear(24);
  const PackedLinear packed({a});
  for (const int64_t rows : {1, 2, 33, 500}) {
    const at::Tensor x = at::randn({40, rows}).t();
    EXPECT_LE(max_error(packed(x), a(x)), kRounding) << rows;
  }
}

TEST_F(PackedLinearTest, SeesEveryChangeOfItsParameters) {
  torch::nn::Linear a = make_linear(24);
  const PackedLinear packed({a});
  packed(x_);
  a->weight.mul_(2);
  EXPECT_LE(max_error(packed(x_), a(x_)), kRounding) << "written in place";
  a->bias.zero_();
  EXPECT_LE(max_error(packed(x_), a(x_)), kRounding) << "the bias, written in place";
  a->weight.set_data(at::randn({24, 40}));
  EXPECT_LE(max_error(packed(x_), a(x_)), kRounding) << "another storage";
  a->to(at::kDouble);
  a->to(at::kFloat);
  EXPECT_LE(max_error(packed(x_), a(x_)), kRounding) << "converted and back";
}

TEST_F(PackedLinearTest, ForgetsWhenItIsTold) {
  torch::nn::Linear a = make_linear(24);
  PackedLinear packed({a});
  packed(x_);
  a->weight.data().mul_(2);
  packed.forget();
  EXPECT_LE(max_error(packed(x_), a(x_)), kRounding);
}

TEST_F(PackedLinearTest, LeavesTheRestToTheLayers) {
  const torch::nn::Linear a = make_linear(24);
  const PackedLinear packed({a});
  EXPECT_FALSE(packed.fits(x_.to(at::kDouble)));
  EXPECT_FALSE(packed.fits(x_.to(at::kBFloat16))) << "of weights in float32";
  EXPECT_FALSE(packed.fits(x_.slice(0, 0, 0)));
  const at::AutoGradMode with_gradients(true);
  EXPECT_FALSE(packed.fits(x_));
}

TEST_F(PackedLinearTest, TakesBfloat16OnItsOwnAndFromAutocast) {
  torch::nn::Linear a = make_linear(24);
  const at::Tensor expected = at::gelu(a(x_));
  const PackedLinear packed({a});
  at::autocast::set_autocast_dtype(at::kCPU, at::kBFloat16);
  at::autocast::set_autocast_enabled(at::kCPU, true);
  ASSERT_TRUE(packed.fits(x_));
  const at::Tensor autocast = packed(x_, Activation::kGelu);
  at::autocast::set_autocast_enabled(at::kCPU, false);
  at::autocast::clear_cache();
  EXPECT_EQ(autocast.scalar_type(), at::kBFloat16);
  EXPECT_LE(max_error(autocast, expected), kBfloat16Rounding);
  EXPECT_LE(max_error(packed(x_, Activation::kGelu), expected), kRounding) << "and back";

  a->to(at::kBFloat16);
  ASSERT_TRUE(packed.fits(x_.to(at::kBFloat16)));
  EXPECT_LE(max_error(packed(x_.to(at::kBFloat16), Activation::kGelu), expected),
            kBfloat16Rounding);
}

TEST_F(PackedLinearTest, ServesThreadsAtOnce) {
  torch::nn::Linear a = make_linear(24);
  const PackedLinear packed({a});
  const at::Tensor expected = a(x_);
  std::vector<double> errors(4);
  std::vector<std::thread> threads;
  for (double& error : errors) {
    threads.emplace_back([&] {
      const at::NoGradGuard no_grad;
      error = max_error(packed(x_), expected);
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const double error : errors) EXPECT_LE(error, kRounding);
}

}  // namespace
}  // namespace lowrank::nn
