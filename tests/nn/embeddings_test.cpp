// SPDX-License-Identifier: Apache-2.0
#include "lowrank/nn/embeddings.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <set>

namespace lowrank::nn {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr double kRounding = 1e-13;  // of sums of fewer than 100 numbers of order 1
constexpr int64_t kWidth = 6;

at::Tensor int64s(std::vector<int64_t> values) { return at::tensor(values, at::kLong); }

double max_error(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

EmbeddingsOptions options_of(EmbeddingKind kind, int64_t patch) {
  return {.kind = kind,
          .vocabulary = 20,
          .width = kWidth,
          .patch = patch,
          .ngrams = {1, 3},
          .buckets = 64,
          .positions = Positions::kNone,
          .max_positions = 10};
}

Embeddings make(const EmbeddingsOptions& options) {
  at::manual_seed(5);
  Embeddings embeddings(options);
  embeddings->to(at::kDouble);
  return embeddings;
}

// Sequences of 5, 0, 1 and 4 tokens.
const at::Tensor kOffsets = int64s({0, 5, 5, 6, 10});
const at::Tensor kTokens = int64s({3, 1, 4, 1, 5, 9, 2, 6, 5, 3});

class EveryEmbedding : public ::testing::TestWithParam<std::tuple<EmbeddingKind, Positions, bool>> {
 protected:
  Embeddings make_embeddings() const {
    const auto [kind, positions, norm] = GetParam();
    EmbeddingsOptions options = options_of(kind, 3);
    options.positions = positions;
    options.segments = 2;
    options.norm = norm;
    return make(options);
  }
};

INSTANTIATE_TEST_SUITE_P(
    Embeddings, EveryEmbedding,
    ::testing::Combine(::testing::Values(EmbeddingKind::kTokens, EmbeddingKind::kNgrams,
                                         EmbeddingKind::kConvolution),
                       ::testing::Values(Positions::kLearned, Positions::kSinusoidal,
                                         Positions::kNone),
                       ::testing::Bool()));

TEST_P(EveryEmbedding, ReadsOnlyTheSequencesOwnTokens) {
  Embeddings embeddings = make_embeddings();
  const at::Tensor segments = int64s({0, 0, 1, 1, 1, 0, 1, 1, 0, 0});
  const Embedded together = embeddings(kTokens, kOffsets, segments);
  EXPECT_TRUE(at::equal(together.offsets, int64s({0, 2, 2, 3, 5})));
  for (int64_t i = 0; i < 4; ++i) {
    const auto cut = [&](const at::Tensor& x, const at::Tensor& offsets) {
      return x.slice(0, offsets[i].item<int64_t>(), offsets[i + 1].item<int64_t>());
    };
    const at::Tensor tokens = cut(kTokens, kOffsets);
    const Embedded alone = embeddings(tokens, int64s({0, tokens.size(0)}), cut(segments, kOffsets));
    const at::Tensor expected = cut(together.x, together.offsets);
    ASSERT_EQ(alone.x.sizes(), expected.sizes());
    EXPECT_TRUE(at::allclose(alone.x, expected, 0, kRounding));
  }
}

TEST_P(EveryEmbedding, SendsFiniteGradientsToEveryParameter) {
  Embeddings embeddings = make_embeddings();
  const at::Tensor x = embeddings(kTokens, kOffsets, at::zeros_like(kTokens)).x;
  (x * at::randn_like(x)).sum().backward();
  for (const auto& parameter : embeddings->named_parameters()) {
    ASSERT_TRUE(parameter->grad().defined()) << parameter.key();
    EXPECT_TRUE(parameter->grad().isfinite().all().item<bool>()) << parameter.key();
    EXPECT_GT(parameter->grad().abs().max().item<double>(), 0) << parameter.key();
  }
}

TEST_P(EveryEmbedding, TakesABatchWithoutTokens) {
  Embeddings embeddings = make_embeddings();
  const Embedded embedded = embeddings(int64s({}), int64s({0, 0}), at::Tensor());
  EXPECT_EQ(embedded.x.sizes(), (at::IntArrayRef{0, kWidth}));
  EXPECT_TRUE(at::equal(embedded.offsets, int64s({0, 0})));
}

TEST(Embeddings, SumsTheTokenVectorsOfAPatch) {
  Embeddings embeddings = make(options_of(EmbeddingKind::kTokens, 2));
  const at::Tensor table = embeddings->token_table();
  const at::Tensor x = embeddings(kTokens, kOffsets).x;
  EXPECT_LE(max_error(x[0], table[3] + table[1]), kRounding);
  EXPECT_LE(max_error(x[2], table[5]), kRounding);
  EXPECT_LE(max_error(x[3], table[9]), kRounding);
  Embeddings single = make(options_of(EmbeddingKind::kTokens, 1));
  EXPECT_TRUE(
      at::equal(single(kTokens, kOffsets).x, single->token_table().index_select(0, kTokens)));
}

TEST(Embeddings, ConvolvesThePatchAndZerosPastTheEnd) {
  Embeddings embeddings = make(options_of(EmbeddingKind::kConvolution, 2));
  const auto parameters = embeddings->named_parameters();
  const at::Tensor table = embeddings->token_table(), weight = parameters["convolution.weight"];
  const at::Tensor zero = at::zeros({kWidth}, at::kDouble);
  const at::Tensor x = embeddings(kTokens, kOffsets).x;
  EXPECT_LE(max_error(x[1], at::matmul(weight, at::cat({table[4], table[1]}))), kRounding);
  EXPECT_LE(max_error(x[2], at::matmul(weight, at::cat({table[5], zero}))), kRounding);
}

// The header's hash, written again.
int64_t documented_bucket(const std::vector<int64_t>& ids, uint64_t buckets) {
  uint64_t u = 0;
  for (const int64_t id : ids) {
    u = ((u ^ (u >> 32)) + static_cast<uint64_t>(id + 1)) * 0x9E3779B97F4A7C15;
  }
  return static_cast<int64_t>(((u >> 32) * buckets) >> 32);
}

TEST(Embeddings, HashesAsDocumented) {
  EXPECT_EQ(EmbeddingsImpl::bucket(std::vector<int64_t>{0}.data(), 1, 16384), 10125);
  const std::vector<int64_t> ids = {-1, 7, 250};
  EXPECT_EQ(EmbeddingsImpl::bucket(ids.data(), 3, 16384), documented_bucket(ids, 16384));
  Embeddings embeddings = make(options_of(EmbeddingKind::kNgrams, 2));
  const at::Tensor table = embeddings->named_parameters()["ngrams"];
  const auto one = [&](int64_t id) { return table[documented_bucket({id}, 64)]; };
  const auto three = [&](int64_t a, int64_t b, int64_t c) {
    return table[64 + documented_bucket({a, b, c}, 64)];
  };
  const at::Tensor x = embeddings(kTokens, kOffsets).x;
  const at::Tensor first = (one(3) + three(-1, -1, 3) + one(1) + three(-1, 3, 1)) / std::sqrt(4);
  const at::Tensor short_patch = (one(5) + three(4, 1, 5)) / std::sqrt(2);
  const at::Tensor next_sequence = (one(9) + three(-1, -1, 9)) / std::sqrt(2);
  EXPECT_LE(max_error(x[0], first), kRounding);
  EXPECT_LE(max_error(x[2], short_patch), kRounding);
  EXPECT_LE(max_error(x[3], next_sequence), kRounding);
}

// Multiples of the golden ratio keep apart: bytes and their special tokens never meet.
TEST(Embeddings, GivesEachByteItsOwnBucket) {
  std::set<int64_t> buckets;
  for (int64_t id = 0; id < 259; ++id) buckets.insert(EmbeddingsImpl::bucket(&id, 1, 1024));
  EXPECT_EQ(buckets.size(), 259);
}

TEST(Embeddings, HashesALongBatchAsItHashesAShortOne) {
  Embeddings embeddings = make(options_of(EmbeddingKind::kNgrams, 8));
  const at::Tensor tokens = at::randint(20, {40000}, at::kLong);
  const at::Tensor whole = embeddings(tokens, int64s({0, 17, 30001, 40000})).x;
  const at::Tensor last = embeddings(tokens.slice(0, 30001), int64s({0, 9999})).x;
  EXPECT_LE(max_error(whole.slice(0, whole.size(0) - last.size(0)), last), kRounding);
}

TEST(Embeddings, AddsPositionsFromZeroInEachSequence) {
  EmbeddingsOptions options = options_of(EmbeddingKind::kTokens, 1);
  options.positions = Positions::kSinusoidal;
  Embeddings with = make(options);
  const at::Tensor difference =
      with(kTokens, kOffsets).x - with->token_table().index_select(0, kTokens);
  const double third = 2 / std::pow(10000, 2.0 / kWidth);  // channels 2 and 3 at place 2
  const at::Tensor zero_one = at::tensor({0, 1, 0, 1, 0, 1}, at::kDouble);
  EXPECT_LE(max_error(difference[5], zero_one), kRounding);
  EXPECT_LE(max_error(difference[6], zero_one), kRounding);
  EXPECT_NEAR(difference[2][2].item<double>(), std::sin(third), 1e-7);  // kept in float32
  EXPECT_NEAR(difference[2][3].item<double>(), std::cos(third), 1e-7);
}

// Whether a batch mate has a second text must not matter.
TEST(Embeddings, ReadsABatchWithoutSegmentsAsAllOfTheFirst) {
  EmbeddingsOptions options = options_of(EmbeddingKind::kTokens, 1);
  options.segments = 2;
  Embeddings embeddings = make(options);
  EXPECT_TRUE(at::equal(embeddings(kTokens, kOffsets).x,
                        embeddings(kTokens, kOffsets, at::zeros_like(kTokens)).x));
}

TEST(Embeddings, LeavesRowsInFrontOfThePositionsToNobody) {
  EmbeddingsOptions options = options_of(EmbeddingKind::kTokens, 1);
  options.positions = Positions::kLearned;
  options.position_offset = 2;
  Embeddings embeddings = make(options);
  const auto parameters = embeddings->named_parameters();
  EXPECT_EQ(parameters["positions"].size(0), options.max_positions + 2);
  const at::Tensor expected = parameters["tokens"].index_select(0, kTokens.slice(0, 0, 2)) +
                              parameters["positions"].slice(0, 2, 4);
  EXPECT_LE(max_error(embeddings(kTokens, kOffsets).x.slice(0, 0, 2), expected), kRounding);
}

TEST(Embeddings, GivesAPatchTheSegmentOfItsFirstToken) {
  EmbeddingsOptions options = options_of(EmbeddingKind::kTokens, 3);
  options.segments = 2;
  Embeddings embeddings = make(options);
  const at::Tensor table = embeddings->named_parameters()["segments"];
  const at::Tensor plain = embeddings(kTokens, kOffsets).x;
  const at::Tensor segments = int64s({1, 0, 0, 0, 1, 1, 0, 0, 0, 1});
  const at::Tensor difference = embeddings(kTokens, kOffsets, segments).x - plain;
  EXPECT_LE(max_error(difference, table.index_select(0, int64s({1, 0, 1, 0, 1})) - table[0]),
            kRounding);
}

TEST(Embeddings, NamesBothLengthsOfASequenceThatIsTooLong) {
  EmbeddingsOptions options = options_of(EmbeddingKind::kTokens, 2);
  options.positions = Positions::kLearned;
  Embeddings embeddings = make(options);
  const at::Tensor tokens = at::zeros({21}, at::kLong);
  EXPECT_THAT(
      [&] {
        embeddings(tokens, int64s({0, 21}));
      },
      ThrowsMessage<c10::ValueError>(
          AllOf(HasSubstr("11 rows of 2 tokens"), HasSubstr("max_positions = 10"))));
  embeddings(tokens, int64s({0, 1, 21}));
}

TEST(Embeddings, RefusesIdsOutsideItsTables) {
  EmbeddingsOptions options = options_of(EmbeddingKind::kNgrams, 1);
  options.segments = 2;
  Embeddings embeddings = make(options);
  const at::Tensor offsets = int64s({0, 2});
  EXPECT_THAT(
      [&] {
        embeddings(int64s({3, 20}), offsets);
      },
      ThrowsMessage<c10::ValueError>(HasSubstr("3 to 20; the model knows 0 to 19")));
  EXPECT_THAT(
      [&] {
        embeddings(int64s({-1, 0}), offsets);
      },
      ThrowsMessage<c10::ValueError>(HasSubstr("-1 to 0")));
  EXPECT_THAT(
      [&] {
        embeddings(int64s({0, 1}), offsets, int64s({0, 2}));
      },
      ThrowsMessage<c10::ValueError>(HasSubstr("segment ids run from 0 to 2")));
  EXPECT_THAT([&] { embeddings(at::zeros({2}), offsets); },
              ThrowsMessage<c10::TypeError>(HasSubstr("int64")));
  EXPECT_THAT(
      [&] {
        embeddings(int64s({0, 1}), int64s({0, 3}));
      },
      ThrowsMessage<c10::ValueError>(HasSubstr("offsets")));
}

}  // namespace
}  // namespace lowrank::nn
