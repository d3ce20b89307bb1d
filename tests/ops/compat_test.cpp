// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/compat.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

#include "lowrank/ops/exact.h"
#include "lowrank/ops/linformer.h"
#include "lowrank/ops/nystrom.h"
#include "tests/support/oracle.h"

// The recorded outputs of the originals are compared in golden_test.cpp; this needs no recording.
namespace lowrank {
namespace {

using at::Tensor;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr int64_t kLandmarks = 4, kLength = 24;

Tensor normal(uint64_t seed, at::IntArrayRef sizes) {
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn(sizes, generator, at::kDouble);
}

compat::Options options(Profile profile) {
  return {.profile = profile, .landmarks = kLandmarks, .segment_length = kLength};
}

struct Input {
  Tensor q, k, v, filter;

  explicit Input(int64_t batch = 2, int64_t heads = 3)
      : q(normal(1, {batch, heads, kLength, 8})),
        k(normal(2, {batch, heads, kLength, 8})),
        v(normal(3, {batch, heads, kLength, 8})),
        filter(normal(4, {heads, 5})) {}

  Input to(at::ScalarType dtype) const {
    Input converted = *this;
    for (Tensor* x : {&converted.q, &converted.k, &converted.v, &converted.filter}) {
      *x = x->to(dtype);
    }
    return converted;
  }

  Tensor attend(const compat::Options& options, const Tensor& mask = {}) const {
    return compat::attention(q, k, v, mask, options, filter);
  }
};

class Compat : public ::testing::TestWithParam<Profile> {};

// One head of one whole sequence that m divides: no batch, no padding, no mask to differ by.
TEST_P(Compat, WithNothingToDifferByIsNystromAttention) {
  const Input one(1, 1);
  const Tensor expected = padded_nystrom_attention(
      one.q, one.k, one.v, {}, {.landmarks = kLandmarks, .conv = 5}, one.filter);
  EXPECT_LE(testing::max_error(one.attend(options(GetParam())), expected), 1e-12);
}

TEST_P(Compat, LengthsAreTheMaskThatTheyMean) {
  const Input input;
  const Tensor lengths = at::tensor({kLength, int64_t{9}}, at::kLong);
  const Tensor mask = at::arange(kLength).unsqueeze(0) < lengths.unsqueeze(1);
  EXPECT_TRUE(testing::same_bits(input.attend(options(GetParam()), lengths),
                                 input.attend(options(GetParam()), mask)));
}

TEST_P(Compat, SixteenBitsAreComputedInFloat32AndRoundedOnce) {
  const Tensor lengths = at::tensor({kLength, int64_t{9}}, at::kLong);
  for (const at::ScalarType dtype : {at::kBFloat16, at::kHalf}) {
    const Input narrow = Input().to(dtype);
    const Tensor got = narrow.attend(options(GetParam()), lengths);
    EXPECT_EQ(got.scalar_type(), dtype);
    EXPECT_TRUE(testing::same_bits(
        got, narrow.to(at::kFloat).attend(options(GetParam()), lengths).to(dtype)));
  }
}

TEST_P(Compat, TheStartOfTheInverseDependsOnTheBatch) {
  Input input;
  const Tensor before = input.attend(options(GetParam())).select(0, 0);
  input.q.select(0, 1).mul_(5);
  input.k.select(0, 1).mul_(5);
  const double change = testing::max_error(input.attend(options(GetParam())).select(0, 0), before);
  EXPECT_GE(change, 1e-6);
}

TEST_P(Compat, AnEmptyBatchIsEmpty) {
  Input input;
  for (Tensor* x : {&input.q, &input.k, &input.v}) *x = x->slice(0, 0, 0);
  EXPECT_EQ(input.attend(options(GetParam())).sizes(), (std::vector<int64_t>{0, 3, kLength, 8}));
}

INSTANTIATE_TEST_SUITE_P(All, Compat,
                         ::testing::Values(Profile::kHuggingFace, Profile::kMlpen,
                                           Profile::kLucidrains, Profile::kTransmil),
                         [](const auto& test) { return profile_name(test.param); });

TEST(CompatHuggingFace, AsManyLandmarksAsTheSegmentLengthIsExactAttention) {
  const Input input;
  const Tensor mask = at::arange(kLength).unsqueeze(0) < at::tensor({24, 9}).unsqueeze(1);
  const compat::Options dense{
      .profile = Profile::kHuggingFace, .landmarks = 7, .segment_length = 7};
  const Tensor got = compat::attention(input.q, input.k, input.v, mask, dense);
  const Tensor expected = padded_exact_attention(input.q, input.k, input.v, mask);
  const Tensor rows = mask.unsqueeze(1).unsqueeze(3);  // exact attention has zeros elsewhere
  EXPECT_LE(testing::max_error(got * rows, expected), 1e-12);
}

TEST(CompatHuggingFace, MaskedTokensEnterTheMeansAndTheConvolution) {
  Input input;
  const Tensor lengths = at::tensor({kLength, int64_t{9}}, at::kLong);
  const auto attend = [&] {
    return input.attend(options(Profile::kHuggingFace), lengths)[1].slice(1, 0, 9);
  };
  const Tensor before = attend();
  input.v[1].select(1, 9).add_(1);
  const Tensor other_value = attend();
  EXPECT_GE(testing::max_error(other_value, before), 1e-3);
  input.k[1].select(1, 9).add_(1);
  EXPECT_GE(testing::max_error(attend(), other_value), 1e-3);
}

TEST(CompatHuggingFace, APerMatrixStartDependsOnNothingElse) {
  Input input;
  compat::Options per_matrix = options(Profile::kHuggingFace);
  per_matrix.per_matrix_start = true;
  const Tensor before = input.attend(per_matrix).select(0, 0);
  input.q.select(0, 1).mul_(5);
  EXPECT_LE(testing::max_error(input.attend(per_matrix).select(0, 0), before), 1e-14);
}

TEST(CompatLucidrains, ZerosInFrontAreTokensWithoutAMask) {
  const Input input;
  compat::Options five = options(Profile::kLucidrains);
  five.landmarks = 5;  // one zero in front of 24
  const auto padded = [](const Tensor& x) { return at::constant_pad_nd(x, {0, 0, 1, 0}); };
  const Tensor expected =
      compat::attention(padded(input.q), padded(input.k), padded(input.v), {}, five, input.filter);
  EXPECT_TRUE(testing::same_bits(input.attend(five), expected.slice(2, 1)));
  const Tensor all = at::ones({2, kLength}, at::kBool);
  EXPECT_GE(testing::max_error(input.attend(five, all), input.attend(five)), 1e-3);
}

TEST(CompatMlpenLinformer, WithoutAMaskIsLinformerAttention) {
  const Input input;
  const Tensor e = normal(5, {3, 6, kLength});
  EXPECT_LE(testing::max_error(compat::mlpen_linformer_attention(input.q, input.k, input.v, {}, e),
                               padded_linformer_attention(input.q, input.k, input.v, e, {})),
            1e-12);
}

TEST(CompatMlpenLinformer, MaskedTokensHaveNoInfluence) {
  Input input;
  const Tensor e = normal(5, {3, 6, kLength}), lengths = at::tensor({24, 9}, at::kLong);
  const Tensor before = compat::mlpen_linformer_attention(input.q, input.k, input.v, lengths, e);
  input.k[1].slice(1, 9).fill_(7);
  input.v[1].slice(1, 9).fill_(7);
  EXPECT_TRUE(testing::same_bits(
      compat::mlpen_linformer_attention(input.q, input.k, input.v, lengths, e), before));
}

TEST(CompatErrors, NameTheRuleAndTheRemedy) {
  const Input input;
  const auto expect = [](const std::function<void()>& call, const char* message) {
    EXPECT_THAT(call, ThrowsMessage<c10::ValueError>(HasSubstr(message)));
  };
  const auto with = [&](Profile profile, int64_t landmarks, int64_t length, int64_t steps = 6) {
    return [=, &input] {
      input.attend({.profile = profile,
                    .landmarks = landmarks,
                    .segment_length = length,
                    .inverse_steps = steps});
    };
  };
  expect(with(Profile::kHuggingFace, 4, 48),
         "hugging_face_attention: sequences have 24 places; with 4 landmarks this profile takes "
         "exactly segment_length = 48. Pad them to that length, or drop the profile.");
  expect(with(Profile::kMlpen, 5, 24),
         "mlpen_attention: segment_length = 24; it must be a multiple of landmarks = 5.");
  expect(with(Profile::kMlpen, 48, 24), "it must be a multiple of landmarks = 48");
  expect(with(Profile::kLucidrains, 0, 24), "lucidrains_attention: landmarks = 0; it must be from");
  expect(with(Profile::kLucidrains, 4, 24, 0), "inverse_steps = 0; it must be from 1 to 32");
  expect(with(Profile::kFairseq, 4, 24),
         "profile = \"fairseq\"; it must be hf, mlpen, lucidrains or transmil");
  expect([&] { compat::mlpen_linformer_attention(input.q, input.k, input.v, {}, input.v[0]); },
         "e must be [3, projected, 24]");
  expect([&] { compat::pseudo_inverse(input.q, 6, compat::InverseStart::kBatch); },
         "a must be [..., m, m]; got sizes [2, 3, 24, 8]");
  EXPECT_THAT(
      [&] {
        input.attend(options(Profile::kMlpen), at::ones({2, kLength}, at::kFloat));
      },
      ThrowsMessage<c10::TypeError>(HasSubstr("mask must be bool")));
}

TEST(Profiles, HaveDistinctNames) {
  std::set<std::string> names;
  for (const auto& [name, profile] : profile_names()) {
    names.insert(name);
    EXPECT_EQ(profile_name(profile), name);
  }
  EXPECT_EQ(names.size(), 8);
}

}  // namespace
}  // namespace lowrank
