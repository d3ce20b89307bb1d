// SPDX-License-Identifier: Apache-2.0
#include "lowrank/analysis/approximation.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "lowrank/models/closeness.h"
#include "lowrank/models/derive.h"
#include "lowrank/ops/reference.h"
#include "tests/support/small_model.h"

namespace lowrank::analysis {
namespace {

using lowrank::testing::one_sequence;
using lowrank::testing::small_config;
using lowrank::testing::small_model;

// Sums of a few dozen float64 numbers of order 1; eigenvectors of P^T P are good to the square root.
constexpr double kRounding = 1e-11;

double max_error(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

LayerHeads random_heads(int64_t n, int64_t h = 3, int64_t d = 4) {
  at::manual_seed(5);
  const auto draw = [&] { return at::randn({h, n, d}, at::kDouble); };
  return {.layer = 0, .q = draw() * 2, .k = draw() * 2, .v = draw(), .scale = 0.5};
}

at::Tensor in_rows(const at::Tensor& x) { return x.transpose(0, 1).contiguous(); }

TEST(Approximate, NystromIsTheOperator) {
  const LayerHeads heads = random_heads(23);
  const at::Tensor expected =
      reference::nystrom_attention(in_rows(heads.q), in_rows(heads.k), in_rows(heads.v),
                                   at::tensor({0, 23}, at::kLong), {.landmarks = 5, .scale = 0.5});
  EXPECT_LE(max_error(in_rows(approximate(heads, {{Method::kNystrom, 5}})[0]), expected),
            kRounding);
}

// Means of windows are Linformer attention whose E holds 1 / w.
TEST(Approximate, PooledIsLinformerWithMeansForE) {
  const LayerHeads heads = random_heads(23);
  at::Tensor e = at::zeros({5, 23}, at::kDouble);
  for (int64_t i = 0; i < 5; ++i) {
    const at::Tensor window = e[i].slice(0, 5 * i, 5 * i + 5);
    window.fill_(1.0 / static_cast<double>(window.size(0)));
  }
  const at::Tensor expected =
      reference::linformer_attention(in_rows(heads.q), in_rows(heads.k), in_rows(heads.v), e, {},
                                     at::tensor({0, 23}, at::kLong), 0.5);
  EXPECT_LE(max_error(in_rows(approximate(heads, {{Method::kPooled, 5}})[0]), expected), kRounding);
}

TEST(Approximate, BestRankLeavesTheOtherSingularValues) {
  const LayerHeads heads = random_heads(17);
  const at::Tensor got = approximate(heads, {{Method::kBestRank, 6}})[0];
  for (int64_t head = 0; head < 3; ++head) {
    const auto [u, s, vh] = at::linalg_svd(heads.matrix(head), false);
    const at::Tensor kept = s.clone();
    kept.slice(0, 6).zero_();
    const at::Tensor nearest = at::mm(u * kept, vh);
    EXPECT_LE(max_error(got[head], at::mm(nearest, heads.v[head])), 1e-6);
  }
}

TEST(Approximate, IsExactWhereTheRankIsTheLength) {
  const LayerHeads heads = random_heads(16);
  for (const Method method : {Method::kNystrom, Method::kPooled, Method::kBestRank}) {
    for (const int64_t size : {16, 40}) {
      EXPECT_LE(max_error(approximate(heads, {{method, size}})[0], heads.exact()), kRounding)
          << name_of(method);
    }
  }
}

// E^T E is the identity in the mean.
TEST(Approximate, RandomProjectionsAreRightInTheMean) {
  const LayerHeads heads = random_heads(16);
  at::Tensor sum = at::zeros_like(heads.v);
  const int64_t draws = 2000;
  for (int64_t i = 0; i < draws; ++i) sum += approximate(heads, {{Method::kRandom, 8}})[0];
  const double one =
      (approximate(heads, {{Method::kRandom, 8}})[0] - heads.exact()).norm().item<double>();
  const double mean = (sum / draws - heads.exact()).norm().item<double>();
  EXPECT_LE(mean, 2 * one / std::sqrt(static_cast<double>(draws)));
  EXPECT_GT(one, 0.1);
}

TEST(LayerErrors, AreRelativeToTheExactOutputsOfAllSequences) {
  const auto model = small_model(small_config(ExactOptions{}));
  const std::vector<models::Inputs> sequences = {one_sequence(21, 1), one_sequence(30, 2)};
  const std::vector<Approximation> approximations = {{Method::kNystrom, 4},
                                                     {Method::kBestRank, 30}};
  const at::Tensor got = layer_errors(*model, sequences, approximations);
  std::vector<double> error(2, 0), size(2, 0);
  for (const models::Inputs& sequence : sequences) {
    visit_heads(*model, sequence, [&](const LayerHeads& heads) {
      const auto layer = static_cast<size_t>(heads.layer);
      const at::Tensor exact = reference::exact_attention(in_rows(heads.q), in_rows(heads.k),
                                                          in_rows(heads.v), sequence.offsets);
      const at::Tensor near = reference::nystrom_attention(
          in_rows(heads.q), in_rows(heads.k), in_rows(heads.v), sequence.offsets, {.landmarks = 4});
      error[layer] += (near - exact).square().sum().item<double>();
      size[layer] += exact.square().sum().item<double>();
    });
  }
  for (const size_t layer : {0u, 1u}) {
    const auto i = static_cast<int64_t>(layer);
    EXPECT_NEAR(got[0][i].item<double>(), std::sqrt(error[layer] / size[layer]), kRounding);
    EXPECT_GT(got[0][i].item<double>(), 0.01);
    EXPECT_LE(got[1][i].item<double>(), kRounding);
  }
}

// The matrix that is nearest leaves the least of P itself.
TEST(LayerErrors, NoMatrixOfThatRankIsNearerThanTheBest) {
  const LayerHeads drawn = random_heads(24);
  LayerHeads heads = drawn;
  heads.v = at::eye(24, at::kDouble).expand({3, 24, 24}).contiguous();  // outputs are the matrices
  const std::vector<at::Tensor> outputs =
      approximate(heads, {{Method::kBestRank, 6}, {Method::kRandom, 6}});
  const auto error = [&](const at::Tensor& x) { return (x - heads.exact()).norm().item<double>(); };
  EXPECT_LT(error(outputs[0]), error(outputs[1]));
  for (int64_t head = 0; head < 3; ++head) {
    const at::Tensor left = at::linalg_svdvals(heads.matrix(head)).slice(0, 6);
    EXPECT_NEAR((outputs[0][head] - heads.matrix(head)).norm().item<double>(),
                left.norm().item<double>(), 1e-9);
  }
}

TEST(ClosenessWith, IsThatOfTheModelWithThatAttention) {
  for (const int64_t conv : {0, 5}) {
    models::ModelConfig config = small_config(NystromOptions{.landmarks = 6, .conv = conv});
    const auto model = small_model(config);
    const std::vector<models::Inputs> sequences = {one_sequence(21, 1), one_sequence(30, 2)};
    // Landmarks as many as tokens are exact attention, with the same convolution.
    const auto exact = models::with_attention(
        *model, {NystromOptions{.landmarks = 6, .exact_up_to = 64, .conv = conv}});
    const models::Closeness expected = models::compare(*model, *exact, sequences);
    const models::Closeness got = closeness_with(*model, sequences, {{Method::kNystrom, 6}})[0];
    EXPECT_EQ(got.sequences, 2);
    EXPECT_NEAR(got.mean_cosine, expected.mean_cosine, kRounding);
    EXPECT_NEAR(got.least_cosine, expected.least_cosine, kRounding);
    EXPECT_LT(got.least_cosine, 1 - 1e-6);
    const models::Closeness best = closeness_with(*model, sequences, {{Method::kBestRank, 30}})[0];
    EXPECT_NEAR(best.least_cosine, 1, kRounding);
  }
}

TEST(ProjectionErrors, AreWhatTheirVarianceSays) {
  const auto model = small_model(small_config(ExactOptions{}));
  std::vector<models::Inputs> sequences;
  for (uint64_t seed = 0; seed < 40; ++seed) sequences.push_back(one_sequence(30, seed));
  at::manual_seed(9);
  const std::vector<ProjectionError> errors = projection_errors(*model, sequences, {8, 128});
  ASSERT_EQ(errors.size(), 2u);
  EXPECT_EQ(errors[0].length, 30);
  EXPECT_EQ(errors[1].rank, 128);
  for (const ProjectionError& error : errors) {  // 240 heads: a few percent of chance
    EXPECT_NEAR(error.output / error.expected, 1, 0.1);
    EXPECT_GT(error.largest, error.product);
  }
  EXPECT_NEAR(errors[0].expected / errors[1].expected, 4, kRounding);
  EXPECT_NEAR(errors[0].product / errors[1].product, 4, 0.5);
}

}  // namespace
}  // namespace lowrank::analysis
