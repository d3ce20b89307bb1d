// SPDX-License-Identifier: Apache-2.0
#include "lowrank/analysis/spectrum.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/analysis/layer_heads.h"
#include "tests/support/small_model.h"

namespace lowrank::analysis {
namespace {

using lowrank::testing::one_sequence;
using lowrank::testing::small_config;
using lowrank::testing::small_model;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr double kRounding = 1e-12;  // of a decomposition in float64

TEST(CumulativeShare, OfAMatrixOfRankOneIsAllInTheFirst) {
  const at::Tensor column = at::arange(1, 6, at::kDouble).unsqueeze(1);
  const at::Tensor share = cumulative_share(at::mm(column, column.t()));
  EXPECT_TRUE(at::allclose(share, at::ones({5}, at::kDouble), 0, kRounding));
  EXPECT_EQ(rank_of_share(share, 0.9).item<int64_t>(), 1);
}

TEST(CumulativeShare, OfTheIdentityGrowsEvenly) {
  const at::Tensor share = cumulative_share(at::eye(10, at::kDouble));
  EXPECT_TRUE(at::allclose(share, at::arange(1, 11, at::kDouble) / 10, 0, kRounding));
  EXPECT_EQ(rank_of_share(share, 0.85).item<int64_t>(), 9);
}

// Reflections change no singular value: 8, 4, 2 and 2 stay.
TEST(CumulativeShare, KnowsTheSingularValuesOfAnyMatrix) {
  const auto reflection = [](const at::Tensor& v) {
    return at::eye(4, at::kDouble) - 2 * at::outer(v, v) / v.dot(v);
  };
  const at::Tensor values = at::diag(at::tensor({2.0, 8.0, 2.0, 4.0}, at::kDouble));
  const at::Tensor matrix =
      at::mm(at::mm(reflection(at::tensor({1.0, 2.0, 3.0, 4.0}, at::kDouble)), values),
             reflection(at::tensor({-2.0, 1.0, 0.5, 3.0}, at::kDouble)));
  const at::Tensor expected = at::tensor({0.5, 0.75, 0.875, 1.0}, at::kDouble);
  EXPECT_TRUE(at::allclose(cumulative_share(matrix), expected, 0, kRounding));
  EXPECT_EQ(rank_of_share(cumulative_share(matrix), 0.7).item<int64_t>(), 2);
}

TEST(CumulativeShare, OfZerosIsZero) {
  EXPECT_EQ(cumulative_share(at::zeros({3, 3}, at::kDouble)).sum().item<double>(), 0);
}

TEST(Spectrum, IsTheMeanOfTheSequencesMatrices) {
  const auto model = small_model(small_config(NystromOptions{.landmarks = 4}));
  const std::vector<models::Inputs> sequences = {one_sequence(12, 1), one_sequence(12, 2)};
  int64_t calls = 0;
  const Spectrum got = spectrum(*model, sequences, 0.9, [&](double) { ++calls; });
  EXPECT_EQ(got.length, 12);
  EXPECT_EQ(got.sequences, 2);
  EXPECT_EQ(calls, 4);
  at::Tensor expected = at::zeros({2, 3, 12}, at::kDouble);
  at::Tensor ranks = at::zeros({2, 3}, at::kDouble);
  for (const models::Inputs& sequence : sequences) {
    visit_heads(*model, sequence, [&](const LayerHeads& heads) {
      for (int64_t head = 0; head < 3; ++head) {
        const at::Tensor p = at::softmax(at::mm(heads.q[head], heads.k[head].t()) / 2, 1);
        const at::Tensor values = std::get<1>(at::linalg_svd(p));
        const at::Tensor share = values.cumsum(0) / values.sum();
        expected[heads.layer][head] += share / 2;
        ranks[heads.layer][head] += (share.lt(0.9).sum() + 1) / 2.0;
      }
    });
  }
  EXPECT_TRUE(at::allclose(got.cumulative, expected, 0, kRounding));
  EXPECT_TRUE(at::equal(got.rank, ranks));
}

TEST(Spectrum, IsOfOneLength) {
  const auto model = small_model(small_config(ExactOptions{}));
  EXPECT_THAT(
      [&] {
        spectrum(*model, {one_sequence(5), one_sequence(6)}, 0.9);
      },
      ThrowsMessage<Error>(HasSubstr("Sequences of 5 and of 6 rows; a spectrum is of one length")));
  EXPECT_THAT([&] { spectrum(*model, {}, 0.9); }, ThrowsMessage<Error>(HasSubstr("no sequence")));
}

}  // namespace
}  // namespace lowrank::analysis
