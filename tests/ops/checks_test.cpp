// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/ops/exact.h"
#include "lowrank/ops/linformer.h"
#include "lowrank/ops/nystrom.h"
#include "lowrank/ops/pseudo_inverse.h"
#include "lowrank/ops/segment_means.h"

// The text of each message is part of the interface.
namespace lowrank {
namespace {

using at::Tensor;

template <class Exception, class Call>
void expect_error(const Call& call, const std::string& text) {
  try {
    call();
    ADD_FAILURE() << "nothing was thrown; expected: " << text;
  } catch (const Exception& error) {
    EXPECT_THAT(error.what_without_backtrace(), ::testing::HasSubstr(text));
  }
}

template <class Call>
void expect_value_error(const Call& call, const std::string& text) {
  expect_error<c10::ValueError>(call, text);
}

template <class Call>
void expect_type_error(const Call& call, const std::string& text) {
  expect_error<c10::TypeError>(call, text);
}

class Checks : public ::testing::Test {
 protected:
  Tensor q = at::ones({6, 2, 4});
  Tensor offsets = at::tensor({0, 2, 6}, at::kLong);
  Tensor padded = at::ones({2, 2, 3, 4});
};

TEST_F(Checks, NameRankSizesAndRemedyOfTheInputs) {
  expect_value_error([&] { exact_attention(q[0], q, q, offsets); },
                     "lowrank::exact_attention: q must be [total, heads, head_size]; got 2 "
                     "dimensions, sizes [2, 4]. Reshape it.");
  expect_value_error(
      [&] { exact_attention(q, q, q.narrow(0, 0, 5), offsets); },
      "k and v must have the same sizes; got [6, 2, 4] and [5, 2, 4]. Give one value");
  expect_value_error([&] { exact_attention(q.narrow(2, 0, 3), q, q, offsets); },
                     "q and k must share heads and head_size, each at least 1; got [6, 2, 3]");
  expect_value_error(
      [&] { exact_attention(q, q.narrow(0, 0, 5), q.narrow(0, 0, 5), offsets); },
      "q has 6 rows and k has 5; without offsets_k they must agree. Pass offsets_k.");
  expect_value_error([&] { padded_exact_attention(q, q, q); },
                     "q must be [batch, heads, length, head_size]; got 3 dimensions");
}

TEST_F(Checks, NameDtypesAndRemedy) {
  expect_type_error([&] { nystrom_attention(q, q.to(at::kDouble), q, offsets); },
                    "lowrank::nystrom_attention: q and k must share one dtype; got Float and Double"
                    ". Convert k with .to(q.dtype).");
  expect_type_error([&] { exact_attention(q.to(at::kInt), q, q, offsets); },
                    "q must be float32, bfloat16, float16 or float64; got Int. Convert it");
}

TEST_F(Checks, OffsetsAreInt64OnTheCpuAscendingFromZeroToTheEnd) {
  expect_type_error([&] { exact_attention(q, q, q, offsets.to(at::kInt)); },
                    "offsets must be int64 on the CPU; got Int on cpu. Convert it");
  expect_value_error(
      [&] {
        exact_attention(q, q, q, offsets.view({1, 3}));
      },
      "offsets must be [batch + 1]; got sizes [1, 3]. Give the first row");
  expect_value_error(
      [&] {
        exact_attention(q, q, q, at::tensor({0, 5}, at::kLong));
      },
      "offsets must go from 0 to 6, the number of rows; got 0 to 5. Give the first");
  expect_value_error(
      [&] {
        exact_attention(q, q, q, at::tensor({1, 6}, at::kLong));
      },
      "offsets must go from 0 to 6, the number of rows; got 1 to 6.");
  expect_value_error(
      [&] {
        exact_attention(q, q, q, at::tensor({0, 4, 3, 6}, at::kLong));
      },
      "offsets must ascend; got 4 before 3 at index 1. Use the running sum");
  expect_value_error(
      [&] {
        exact_cross_attention(q, q, q, offsets, at::tensor({0, 6}, at::kLong));
      },
      "offsets describe 2 sequences and offsets_k 1; they must agree.");
}

TEST_F(Checks, OptionsNameTheirRange) {
  expect_value_error([&] { nystrom_attention(q, q, q, offsets, {.landmarks = 0}); },
                     "landmarks = 0; it must be from 1 to 4096. Choose a value in that range.");
  expect_value_error([&] { nystrom_attention(q, q, q, offsets, {.landmarks = 4097}); },
                     "landmarks = 4097; it must be from 1 to 4096.");
  expect_value_error([&] { nystrom_attention(q, q, q, offsets, {.inverse_steps = 33}); },
                     "inverse_steps = 33; it must be from 1 to 32.");
  expect_value_error([&] { segment_means(q, offsets, 0); },
                     "lowrank::segment_means: landmarks = 0; it must be from 1 to 4096.");
  expect_value_error([&] { pseudo_inverse(at::eye(3), 0); },
                     "lowrank::pseudo_inverse: steps = 0; it must be from 1 to 32.");
  expect_value_error(
      [&] {
        pseudo_inverse(at::ones({2, 3}));
      },
      "a must be square matrices [..., m, m]; got sizes [2, 3]. Reshape it.");
}

TEST_F(Checks, TheFilterHasAnOddNumberOfTapsOneRowAHeadAndTheOptionsWidth) {
  expect_value_error(
      [&] {
        nystrom_attention(q, q, q, offsets, {.conv = 4}, at::ones({2, 4}));
      },
      "filter has 4 taps; the number must be odd. Use 5, or pass no filter");
  expect_value_error(
      [&] {
        nystrom_attention(q, q, q, offsets, {.conv = 3}, at::ones({3, 3}));
      },
      "filter must be [2, taps], one row for each head; got sizes [3, 3].");
  expect_value_error(
      [&] {
        nystrom_attention(q, q, q, offsets, {.conv = 5}, at::ones({2, 3}));
      },
      "options.conv = 5 and the filter has 3 taps; they must agree.");
  expect_value_error([&] { nystrom_attention(q, q, q, offsets, {.conv = 5}); },
                     "options.conv = 5 and the filter has 0 taps; they must agree.");
}

TEST_F(Checks, ASequenceLongerThanTheProjectionNamesBothAndTheRemedy) {
  expect_value_error(
      [&] {
        linformer_attention(q, q, q, at::ones({3, 3}), {}, offsets);
      },
      "lowrank::linformer_attention: a sequence has 4 tokens and e has columns for "
      "3; longer input is refused. Resize it with resize_projection(e, 4)");
  expect_value_error(
      [&] {
        linformer_attention(q, q, q, at::ones({3, 3, 9}), {}, offsets);
      },
      "e must be [projected, max_length] or [heads, projected, max_length]; got "
      "sizes [3, 3, 9] with 2 heads.");
  expect_value_error(
      [&] {
        linformer_attention(q, q, q, at::ones({3, 9}), at::ones({2, 9}), offsets);
      },
      "e has 3 rows and f 2; projected keys and values must agree.");
  expect_value_error(
      [&] {
        project_sequences(q, at::ones({3, 9}), offsets);
      },
      "lowrank::project_sequences: x must be [total, width]; got sizes [6, 2, 4].");
  expect_value_error(
      [&] {
        resize_projection(at::ones({3, 9}), 0);
      },
      "cannot resize 9 columns to 0; both must be at least 1.");
}

TEST_F(Checks, TheMaskIsBoolOrLengths) {
  expect_type_error(
      [&] {
        padded_exact_attention(padded, padded, padded, at::ones({2, 3}));
      },
      "mask must be bool [batch, length] or int64 lengths [batch]; got Float.");
  expect_value_error(
      [&] {
        padded_exact_attention(padded, padded, padded, at::ones({2, 4}, at::kBool));
      },
      "int64 lengths [batch] of q [2, 2, 3, 4]; got Bool [2, 4].");
  expect_value_error(
      [&] {
        padded_exact_attention(padded, padded, padded, at::tensor({1, 4}, at::kLong));
      },
      "lengths must be from 0 to 3; got 1 to 4. Pad q, k and v to the longest sequence.");
}

}  // namespace
}  // namespace lowrank
