// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "lowrank/ops/dispatch.h"
#include "lowrank/ops/linformer.h"
#include "lowrank/ops/pseudo_inverse.h"
#include "lowrank/ops/reference.h"
#include "lowrank/ops/segment_means.h"
#include "tests/support/attention_cases.h"
#include "tests/support/oracle.h"

// The pieces that the attention kinds are made of.
namespace lowrank {
namespace {

using at::Tensor;
using testing::max_error;

class Pieces : public ::testing::TestWithParam<testing::AttentionCase> {};

TEST_P(Pieces, SegmentMeansMatchThePlainFormula) {
  const auto& c = GetParam();
  const Tensor x = c.random(1), offsets = c.offsets();
  EXPECT_TRUE(testing::close_to_oracle(
      segment_means(x, offsets, c.m),
      reference::segment_means(x.to(testing::yardstick_dtype(c.dtype)), offsets, c.m),
      reference::segment_means(x.to(at::kDouble), offsets, c.m)));
}

TEST_P(Pieces, ProjectionsOfSequencesMatchThePlainFormula) {
  const auto& c = GetParam();
  const Tensor x = c.random(1).flatten(1), e = c.projection(2), offsets = c.offsets();
  EXPECT_TRUE(testing::close_to_oracle(
      project_sequences(x, e, offsets),
      reference::project_sequences(x.to(testing::yardstick_dtype(c.dtype)),
                                   e.to(testing::yardstick_dtype(c.dtype)), offsets),
      reference::project_sequences(x.to(at::kDouble), e.to(at::kDouble), offsets)));
}

TEST_P(Pieces, TheInverseMatchesThePlainFormula) {
  const auto& c = GetParam();
  const Tensor a = c.normal(1, {2, 3, c.m, c.m}).to(at::kDouble).softmax(-1).to(c.dtype);
  EXPECT_TRUE(testing::close_to_oracle(
      pseudo_inverse(a), reference::pseudo_inverse(a.to(testing::yardstick_dtype(c.dtype))),
      reference::pseudo_inverse(a.to(at::kDouble))));
}

INSTANTIATE_TEST_SUITE_P(All, Pieces, ::testing::ValuesIn(testing::attention_cases()),
                         testing::case_name);

TEST(SegmentMeans, TheFirstSegmentsAreTheLonger) {
  const Tensor x = at::arange(7, at::kDouble).view({7, 1});
  const Tensor means = segment_means(x, at::tensor({0, 7}, at::kLong), 3);
  EXPECT_TRUE(at::equal(means, at::tensor({1.0, 3.5, 5.5}, at::kDouble).view({1, 3, 1})));
}

TEST(SegmentMeans, AShortSequenceKeepsItsTokensAndThenHasZeros) {
  const Tensor x = at::tensor({4.0, 5.0}, at::kDouble);
  const Tensor means = segment_means(x, at::tensor({0, 0, 2}, at::kLong), 3);
  EXPECT_TRUE(
      at::equal(means, at::tensor({0.0, 0.0, 0.0, 4.0, 5.0, 0.0}, at::kDouble).view({2, 3})));
}

TEST(PseudoInverse, ConvergesToTheInverseOfAWellConditionedMatrix) {
  const Tensor a = at::eye(8, at::kDouble) * 2 + at::ones({8, 8}, at::kDouble) / 8;
  const Tensor z = pseudo_inverse(a, 20);
  EXPECT_LE(max_error(at::matmul(a, z), at::eye(8, at::kDouble)), 1e-12);
  EXPECT_LE(pseudo_inverse_residual(a, z).item<double>(), 1e-12);
}

TEST(PseudoInverse, OfZeroIsZeroWithoutResidual) {
  const Tensor a = at::zeros({2, 3, 3});
  EXPECT_EQ(testing::largest(pseudo_inverse(a)), 0);
  EXPECT_TRUE(at::equal(pseudo_inverse_residual(a, pseudo_inverse(a)), at::zeros({2})));
}

TEST(ResizeProjection, KeepsTheProjectionOfAConstantSequence) {
  const Tensor e = at::arange(6, at::kDouble).view({3, 2}).expand({2, 3, 2}).repeat({1, 1, 4});
  const Tensor constant = at::ones({3, 8}, at::kDouble);
  EXPECT_LE(max_error(resize_projection(constant, 20).sum(-1), constant.sum(-1)), 1e-12);
  EXPECT_LE(max_error(resize_projection(e, 8), e), 1e-12);
  EXPECT_EQ(resize_projection(e, 20).sizes(), (std::vector<int64_t>{2, 3, 20}));
}

TEST(Dispatch, SaysWhatIsTakenAndWhyNotTheOthers) {
  const std::set<std::string> with_kernels = {"exact_attention", "nystrom_attention",
                                              "linformer_attention", "project_sequences"};
  for (const KernelChoice& choice : describe_dispatch(at::kCPU, at::kFloat)) {
    const bool kernel = with_kernels.count(choice.op) > 0;
    EXPECT_EQ(choice.taken.substr(0, 4), kernel ? "cpu " : "libt") << choice.op;
    EXPECT_TRUE(choice.refused.empty()) << choice.op;
  }
  for (const KernelChoice& choice : describe_dispatch(at::kCPU, at::kDouble)) {
    EXPECT_EQ(choice.taken, "libtorch") << choice.op;
    if (with_kernels.count(choice.op) == 0) continue;
    EXPECT_EQ(choice.refused[0].second, "the tensors are Double, it takes Float and BFloat16");
  }
  for (const KernelChoice& choice : describe_dispatch(at::kCUDA, at::kFloat)) {
    EXPECT_EQ(choice.taken, "reference") << choice.op;
    ASSERT_GE(choice.refused.size(), 1) << choice.op;
    EXPECT_EQ(choice.refused.back().second, "the tensors are on cuda, it runs on the cpu");
  }
}

}  // namespace
}  // namespace lowrank
