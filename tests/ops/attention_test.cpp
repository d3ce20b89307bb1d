// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>

#include "lowrank/ops/exact.h"
#include "lowrank/ops/linformer.h"
#include "lowrank/ops/nystrom.h"
#include "lowrank/ops/reference.h"
#include "tests/support/attention_cases.h"
#include "tests/support/oracle.h"

// What every attention kind promises, over every case: docs/architecture.md, "Guarantees".
namespace lowrank {
namespace {

using at::Tensor;
using testing::AttentionCase;
using testing::close_to_oracle;
using testing::max_error;
using testing::same_bits;
using Tensors = std::vector<Tensor>;

// One attention kind; x holds q, k, v and then what the kind learns.
struct Kind {
  const char* name;
  Tensors (*learned)(const AttentionCase& c);
  Tensor (*ragged)(const AttentionCase& c, const Tensors& x, const Tensor& offsets);
  Tensor (*plain)(const AttentionCase& c, const Tensors& x, const Tensor& offsets);
  Tensor (*padded)(const AttentionCase& c, const Tensors& x, const Tensor& mask);
};

Tensors nothing_learned(const AttentionCase&) { return {}; }

const Kind kExact = {"exact", nothing_learned,
                     [](const AttentionCase&, const Tensors& x, const Tensor& offsets) {
                       return exact_attention(x[0], x[1], x[2], offsets);
                     },
                     [](const AttentionCase&, const Tensors& x, const Tensor& offsets) {
                       return reference::exact_attention(x[0], x[1], x[2], offsets);
                     },
                     [](const AttentionCase&, const Tensors& x, const Tensor& mask) {
                       return padded_exact_attention(x[0], x[1], x[2], mask);
                     }};

const Kind kNystrom = {
    "nystrom", nothing_learned,
    [](const AttentionCase& c, const Tensors& x, const Tensor& offsets) {
      return nystrom_attention(x[0], x[1], x[2], offsets, {.landmarks = c.m});
    },
    [](const AttentionCase& c, const Tensors& x, const Tensor& offsets) {
      return reference::nystrom_attention(x[0], x[1], x[2], offsets, {.landmarks = c.m});
    },
    [](const AttentionCase& c, const Tensors& x, const Tensor& mask) {
      return padded_nystrom_attention(x[0], x[1], x[2], mask, {.landmarks = c.m});
    }};

constexpr int64_t kTaps = 5;

const Kind kNystromConv = {
    "nystrom_conv", [](const AttentionCase& c) -> Tensors { return {c.filter(4, kTaps)}; },
    [](const AttentionCase& c, const Tensors& x, const Tensor& offsets) {
      return nystrom_attention(x[0], x[1], x[2], offsets, {.landmarks = c.m, .conv = kTaps}, x[3]);
    },
    [](const AttentionCase& c, const Tensors& x, const Tensor& offsets) {
      return reference::nystrom_attention(x[0], x[1], x[2], offsets, {.landmarks = c.m}, x[3]);
    },
    [](const AttentionCase& c, const Tensors& x, const Tensor& mask) {
      return padded_nystrom_attention(x[0], x[1], x[2], mask, {.landmarks = c.m, .conv = kTaps},
                                      x[3]);
    }};

// Between the lengths of most cases: batches mix sequences below, at and above it.
NystromOptions partly_exact(const AttentionCase& c) {
  for (const int64_t n : c.lengths) {
    if (n > c.m && n < c.longest()) return {.landmarks = c.m, .exact_up_to = n, .conv = kTaps};
  }
  return {.landmarks = c.m, .exact_up_to = c.m + 1, .conv = kTaps};
}

const Kind kNystromPartlyExact = {
    "nystrom_partly_exact", [](const AttentionCase& c) -> Tensors { return {c.filter(4, kTaps)}; },
    [](const AttentionCase& c, const Tensors& x, const Tensor& offsets) {
      return nystrom_attention(x[0], x[1], x[2], offsets, partly_exact(c), x[3]);
    },
    [](const AttentionCase& c, const Tensors& x, const Tensor& offsets) {
      return reference::nystrom_attention(x[0], x[1], x[2], offsets, partly_exact(c), x[3]);
    },
    [](const AttentionCase& c, const Tensors& x, const Tensor& mask) {
      return padded_nystrom_attention(x[0], x[1], x[2], mask, partly_exact(c), x[3]);
    }};

Tensor linformer(const AttentionCase&, const Tensors& x, const Tensor& offsets) {
  return linformer_attention(x[0], x[1], x[2], x[3], x[4], offsets);
}

Tensor plain_linformer(const AttentionCase&, const Tensors& x, const Tensor& offsets) {
  return reference::linformer_attention(x[0], x[1], x[2], x[3], x[4], offsets);
}

Tensor padded_linformer(const AttentionCase&, const Tensors& x, const Tensor& mask) {
  return padded_linformer_attention(x[0], x[1], x[2], x[3], x[4], mask);
}

const Kind kLinformer = {"linformer",
                         [](const AttentionCase& c) -> Tensors {
                           return {c.projection(4), c.projection(5)};
                         },
                         linformer, plain_linformer, padded_linformer};

const Kind kLinformerPerHead = {"linformer_per_head",
                                [](const AttentionCase& c) -> Tensors {
                                  return {c.projection(4, true), c.projection(5, true)};
                                },
                                linformer, plain_linformer, padded_linformer};

using Run = Tensor (*)(const AttentionCase&, const Tensors&, const Tensor&);

Tensors to(const Tensors& x, at::ScalarType dtype) {
  Tensors result;
  for (const Tensor& one : x) result.push_back(one.to(dtype));
  return result;
}

// The output, then the gradient of each input for the output gradient `g`. `where`: offsets or mask.
Tensors with_gradients(Run run, const AttentionCase& c, const Tensors& x, const Tensor& where,
                       const Tensor& g) {
  Tensors leaves;
  for (const Tensor& one : x) leaves.push_back(one.detach().requires_grad_(true));
  const Tensor out = run(c, leaves, where);
  Tensors results = torch::autograd::grad({out}, leaves, {g}, {}, false, /*allow_unused=*/true);
  for (size_t i = 0; i < results.size(); ++i) {
    if (!results[i].defined()) results[i] = at::zeros_like(leaves[i]);
  }
  results.insert(results.begin(), out.detach());
  return results;
}

class Attention : public ::testing::TestWithParam<std::tuple<Kind, AttentionCase>> {
 protected:
  const Kind& kind() const { return std::get<0>(GetParam()); }
  const AttentionCase& c() const { return std::get<1>(GetParam()); }
  Tensors inputs() const {
    Tensors x = {c().random(1), c().random(2), c().random(3)};
    const Tensors learned = kind().learned(c());
    x.insert(x.end(), learned.begin(), learned.end());
    return x;
  }
};

TEST_P(Attention, IsAsAccurateAsThePlainFormulaForwardAndBackward) {
  const Tensors x = inputs();
  const Tensor g = c().random(9);
  const Tensors got = with_gradients(kind().ragged, c(), x, c().offsets(), g);
  const at::ScalarType dtype = testing::yardstick_dtype(c().dtype);
  const Tensors plain = with_gradients(kind().plain, c(), to(x, dtype), c().offsets(), g.to(dtype));
  const Tensors oracle =
      with_gradients(kind().plain, c(), to(x, at::kDouble), c().offsets(), g.to(at::kDouble));
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_EQ(got[i].scalar_type(), c().dtype);
    EXPECT_TRUE(close_to_oracle(got[i], plain[i], oracle[i])) << "result " << i;
  }
}

TEST_P(Attention, ASequenceAloneGivesTheSameBitsAsInItsBatch) {
  const Tensors x = inputs();
  const Tensor g = c().random(9);
  const Tensors batch = with_gradients(kind().ragged, c(), x, c().offsets(), g);
  int64_t begin = 0;
  for (const int64_t n : c().lengths) {
    Tensors alone = x;
    for (size_t i = 0; i < 3; ++i) alone[i] = x[i].narrow(0, begin, n).clone();
    const Tensor offsets = at::tensor({int64_t{0}, n}, at::kLong);
    const Tensors single =
        with_gradients(kind().ragged, c(), alone, offsets, g.narrow(0, begin, n));
    for (size_t i = 0; i < 4; ++i) {  // the output and the gradients of q, k and v
      EXPECT_TRUE(same_bits(single[i], batch[i].narrow(0, begin, n)))
          << "result " << i << " of the sequence at row " << begin;
    }
    begin += n;
  }
}

// Puts the tokens of each sequence at the places that `mask` [b, n] marks, NaN everywhere else.
Tensor pad(const Tensor& x, const Tensor& mask) {
  Tensor padded = at::full({mask.size(0), mask.size(1), x.size(1), x.size(2)},
                           std::numeric_limits<double>::quiet_NaN(), x.options());
  padded.index_put_({mask}, x);
  return padded.transpose(1, 2);
}

TEST_P(Attention, PaddingHasNoInfluenceWhateverItsSideAmountAndContent) {
  const Tensors x = inputs();
  const Tensor g = c().random(9);
  const Tensors ragged = with_gradients(kind().ragged, c(), x, c().offsets(), g);
  const int64_t b = static_cast<int64_t>(c().lengths.size()), n = c().longest() + 3;
  const Tensor place = at::arange(n);
  for (const char* side : {"right", "left", "holes"}) {
    Tensor mask = at::zeros({b, n}, at::kBool);
    for (int64_t i = 0; i < b; ++i) {
      const int64_t length = c().lengths[static_cast<size_t>(i)];
      if (side == std::string("right")) mask[i].copy_(place < length);
      if (side == std::string("left")) mask[i].copy_(place >= n - length);
      if (side == std::string("holes")) mask[i].copy_(place.mul(7).remainder(n) < length);
    }
    if (mask.sum().item<int64_t>() != c().total()) continue;  // 7 divides n: no permutation
    Tensors padded = x;
    for (size_t i = 0; i < 3; ++i) padded[i] = pad(x[i], mask);
    const Tensors got = with_gradients(kind().padded, c(), padded, mask, pad(g, mask));
    for (size_t i = 0; i < 4; ++i) {
      const Tensor rows = got[i].transpose(1, 2);
      EXPECT_TRUE(same_bits(rows.index({mask}), ragged[i])) << side << ", result " << i;
      EXPECT_EQ(testing::largest(rows.index({mask.logical_not()})), 0) << side << ", result " << i;
    }
    for (size_t i = 4; i < got.size(); ++i) {
      EXPECT_TRUE(same_bits(got[i], ragged[i])) << side << ", result " << i;
    }
  }
}

TEST_P(Attention, LengthsAreAMaskOnTheRight) {
  Tensors x = inputs();
  const int64_t b = static_cast<int64_t>(c().lengths.size()), n = c().longest();
  const Tensor lengths = c().offsets().diff();
  const Tensor mask = at::arange(n).unsqueeze(0) < lengths.unsqueeze(1);
  ASSERT_EQ(mask.size(0), b);
  for (size_t i = 0; i < 3; ++i) x[i] = pad(x[i], mask);
  EXPECT_TRUE(same_bits(kind().padded(c(), x, lengths), kind().padded(c(), x, mask)));
}

TEST_P(Attention, GivesTheSameBitsTwiceAndForAnyStrides) {
  const Tensors x = inputs();
  const Tensor g = c().random(9);
  Tensors strided = x;
  for (size_t i = 0; i < 3; ++i)
    strided[i] = x[i].permute({2, 0, 1}).contiguous().permute({1, 2, 0});
  const Tensors once = with_gradients(kind().ragged, c(), x, c().offsets(), g);
  const Tensors twice = with_gradients(kind().ragged, c(), strided, c().offsets(), g);
  for (size_t i = 0; i < once.size(); ++i) EXPECT_TRUE(same_bits(once[i], twice[i]));
}

// V enters linearly whatever the softmaxes do: catches a mask or a scale applied to V.
TEST_P(Attention, IsLinearInV) {
  if (c().dtype != at::kDouble) GTEST_SKIP() << "algebra is tested in float64";
  const Tensors x = inputs();
  const Tensor w = c().random(8);
  const auto attend = [&](const Tensor& v) {
    Tensors y = x;
    y[2] = v;
    return kind().ragged(c(), y, c().offsets());
  };
  const Tensor sum = attend(x[2]) + 2 * attend(w);
  EXPECT_LE(max_error(attend(x[2] + 2 * w), sum), 1e-11 * (1 + testing::largest(sum)));
}

// The same vector added to every key adds a constant to each row of scores.
TEST_P(Attention, IgnoresAConstantAddedToTheScores) {
  if (c().dtype != at::kDouble) GTEST_SKIP() << "algebra is tested in float64";
  if (std::string(kind().name).find("linformer") == 0) {
    GTEST_SKIP() << "E mixes the keys before the scores, so this is no symmetry of Linformer";
  }
  Tensors x = inputs();
  const Tensor before = kind().ragged(c(), x, c().offsets());
  x[1] = x[1] + c().normal(8, {1, c().h, c().d});
  const Tensor after = kind().ragged(c(), x, c().offsets());
  EXPECT_LE(max_error(before, after), 1e-9 * (1 + testing::largest(before)));
}

TEST_P(Attention, StaysFiniteWhereExpWouldOverflow) {
  Tensors x = inputs();
  for (size_t i = 0; i < 2; ++i) x[i] = at::sigmoid(x[i]) * 10 + 90;
  for (const Tensor& result : with_gradients(kind().ragged, c(), x, c().offsets(), c().random(9))) {
    EXPECT_TRUE(result.isfinite().all().item<bool>());
  }
}

TEST_P(Attention, RunsInInferenceMode) {
  const Tensors x = inputs();
  const Tensor outside = kind().ragged(c(), x, c().offsets());
  const c10::InferenceMode inference;
  EXPECT_TRUE(same_bits(kind().ragged(c(), inputs(), c().offsets()), outside));
}

TEST_P(Attention, TheEnvironmentSelectsTheReferenceWithTheSameResults) {
  const Tensors x = inputs();
  const Tensor g = c().random(9);
  const at::ScalarType dtype = testing::yardstick_dtype(c().dtype);
  const Tensors plain = with_gradients(kind().plain, c(), to(x, dtype), c().offsets(), g.to(dtype));
  const Tensors oracle =
      with_gradients(kind().plain, c(), to(x, at::kDouble), c().offsets(), g.to(at::kDouble));
  setenv("LOWRANK_REFERENCE", "1", 1);
  const Tensors got = with_gradients(kind().ragged, c(), x, c().offsets(), g);
  unsetenv("LOWRANK_REFERENCE");
  for (size_t i = 0; i < got.size(); ++i) EXPECT_TRUE(close_to_oracle(got[i], plain[i], oracle[i]));
}

std::string name_of(const ::testing::TestParamInfo<std::tuple<Kind, AttentionCase>>& info) {
  const auto& [kind, c] = info.param;
  std::ostringstream name;
  name << kind.name << '_' << testing::case_name({c, info.index});
  return name.str();
}

INSTANTIATE_TEST_SUITE_P(All, Attention,
                         ::testing::Combine(::testing::Values(kExact, kNystrom, kNystromConv,
                                                              kNystromPartlyExact, kLinformer,
                                                              kLinformerPerHead),
                                            ::testing::ValuesIn(testing::attention_cases())),
                         name_of);

// Exact attention has two ways on a CPU, by a sequence's length; these batches need both.
INSTANTIATE_TEST_SUITE_P(ShortAndLong, Attention,
                         ::testing::Combine(::testing::Values(kExact),
                                            ::testing::Values(AttentionCase{
                                                {4097, 5, 0, 300}, 1, 8, 4})),
                         name_of);

TEST(PaddedAttention, AllFalseRowsGiveZerosAndFiniteGradients) {
  const AttentionCase c{{4, 4}, 2, 8, 2};
  const Tensor mask = at::zeros({2, 4}, at::kBool);
  const Tensor x = c.random(1).view({2, 4, 2, 8}).transpose(1, 2);
  const Tensors linformer_inputs = {x, x, x, c.projection(4), c.projection(5)};
  for (const Kind* kind : {&kExact, &kNystrom, &kLinformer}) {
    for (const Tensor& result :
         with_gradients(kind->padded, c, kind == &kLinformer ? linformer_inputs : Tensors{x, x, x},
                        mask, at::ones_like(x))) {
      EXPECT_EQ(testing::largest(result), 0) << kind->name;
    }
  }
}

TEST(NystromAttention, EqualsExactAttentionUpToAsManyTokensAsLandmarks) {
  for (const int64_t n : {1, 5, 16}) {
    const AttentionCase c{{n}, 2, 8, 16, at::kDouble};
    const Tensors x = {c.random(1), c.random(2), c.random(3)};
    EXPECT_LE(max_error(kNystrom.ragged(c, x, c.offsets()), kExact.ragged(c, x, c.offsets())),
              1e-12);
  }
}

// Of a batch whose sequences are one token shorter than exact_up_to, as long, and one token longer.
TEST(NystromAttention, IsExactUpToAsManyTokensAsAsked) {
  const AttentionCase c{{99, 100, 101}, 2, 16, 8};
  const NystromOptions options{.landmarks = c.m, .exact_up_to = 100};
  for (const auto dtype : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
    AttentionCase typed = c;
    typed.dtype = dtype;
    const Tensors x = {typed.random(1), typed.random(2), typed.random(3)};
    const Tensor got = nystrom_attention(x[0], x[1], x[2], c.offsets(), options);
    const Tensor exact = exact_attention(x[0], x[1], x[2], c.offsets());
    const Tensor nystrom = nystrom_attention(x[0], x[1], x[2], c.offsets(), {.landmarks = c.m});
    const Tensors wide = to(x, at::kDouble);
    const Tensor oracle = reference::exact_attention(wide[0], wide[1], wide[2], c.offsets());
    EXPECT_TRUE(
        close_to_oracle(got.narrow(0, 0, 199), exact.narrow(0, 0, 199), oracle.narrow(0, 0, 199)));
    EXPECT_TRUE(same_bits(got.narrow(0, 199, 101), nystrom.narrow(0, 199, 101)));
    EXPECT_GT(max_error(got.narrow(0, 199, 101), exact.narrow(0, 199, 101)), 0.01);
  }
}

TEST(NystromAttention, TakesAnyOddNumberOfTaps) {
  const AttentionCase c{{130, 3}, 2, 8, 16, at::kDouble};
  for (const int64_t taps : {1, 33, 255}) {
    const Tensor q = c.random(1), k = c.random(2), v = c.random(3), w = c.filter(4, taps);
    const NystromOptions options{.landmarks = 16, .conv = taps};
    EXPECT_LE(max_error(nystrom_attention(q, k, v, c.offsets(), options, w),
                        reference::nystrom_attention(q, k, v, c.offsets(), options, w)),
              1e-11)
        << taps << " taps";
  }
}

TEST(CrossAttention, IsExactWhereQueriesOrKeysAreFewEnough) {
  const AttentionCase queries{{20, 50, 50}, 2, 8, 4}, keys{{50, 20, 50}, 2, 8, 4};
  const Tensor q = queries.random(1), k = keys.random(2), v = keys.random(3);
  const Tensor offsets = queries.offsets(), offsets_k = keys.offsets();
  const Tensor got =
      nystrom_cross_attention(q, k, v, offsets, offsets_k, {.landmarks = 4, .exact_up_to = 20});
  const Tensor exact = exact_cross_attention(q, k, v, offsets, offsets_k);
  EXPECT_LE(max_error(got.narrow(0, 0, 70), exact.narrow(0, 0, 70)), 1e-5);
  EXPECT_GT(max_error(got.narrow(0, 70, 50), exact.narrow(0, 70, 50)), 0.01);
}

TEST(CrossAttention, TakesFewAndManyKeysInOneBatch) {
  const AttentionCase queries{{1100, 3}, 2, 8, 4}, keys{{9, 4100}, 2, 8, 4};
  const Tensor q = queries.random(1).requires_grad_(), k = keys.random(2).requires_grad_(),
               v = keys.random(3).requires_grad_(), g = queries.random(4);
  const Tensor offsets = queries.offsets(), offsets_k = keys.offsets();
  const Tensor got = exact_cross_attention(q, k, v, offsets, offsets_k);
  const Tensor plain = reference::exact_attention(q, k, v, offsets, std::nullopt, offsets_k);
  EXPECT_LE(max_error(got, plain), 1e-5);
  const Tensors gradients = torch::autograd::grad({got}, {q, k, v}, {g});
  const Tensors plain_gradients = torch::autograd::grad({plain}, {q, k, v}, {g});
  for (size_t i = 0; i < 3; ++i) EXPECT_LE(max_error(gradients[i], plain_gradients[i]), 1e-4) << i;
}

TEST(CrossAttention, MatchesThePlainFormulaAndGivesZerosWithoutKeys) {
  const AttentionCase queries{{20, 3, 6, 0}, 2, 8, 4, at::kDouble};
  const AttentionCase keys{{9, 30, 0, 5}, 2, 8, 4, at::kDouble};
  const Tensor q = queries.random(1), k = keys.random(2), v = keys.random(3);
  const Tensor offsets = queries.offsets(), offsets_k = keys.offsets();
  const Tensor e = keys.projection(4);
  const Tensors got = {exact_cross_attention(q, k, v, offsets, offsets_k),
                       nystrom_cross_attention(q, k, v, offsets, offsets_k, {.landmarks = 4}),
                       linformer_cross_attention(q, k, v, e, e, offsets, offsets_k)};
  const Tensors plain = {
      reference::exact_attention(q, k, v, offsets, std::nullopt, offsets_k),
      reference::nystrom_attention(q, k, v, offsets, {.landmarks = 4}, {}, offsets_k),
      reference::linformer_attention(q, k, v, e, e, offsets, std::nullopt, offsets_k)};
  for (size_t i = 0; i < got.size(); ++i) {
    EXPECT_LE(max_error(got[i], plain[i]), 1e-11);
    EXPECT_EQ(testing::largest(got[i].narrow(0, 23, 6)), 0) << "the third sequence has no keys";
  }
}

}  // namespace
}  // namespace lowrank
