// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <limits>

// What "accurate" and "equal" mean in the tests of numerical code.
namespace lowrank::testing {

// The largest |a - b|; NaN if there is one.
inline double max_error(const at::Tensor& a, const at::Tensor& b) {
  if (a.numel() == 0) return 0;
  return (a.to(at::kDouble) - b.to(at::kDouble)).abs().max().item<double>();
}

inline double largest(const at::Tensor& x) {
  return x.numel() == 0 ? 0 : x.to(at::kDouble).abs().max().item<double>();
}

inline double rounding(at::ScalarType dtype) {
  switch (dtype) {
    case at::kHalf:
      return 0x1p-11;
    case at::kBFloat16:
      return 0x1p-8;
    case at::kDouble:
      return 0x1p-53;
    default:
      return 0x1p-24;
  }
}

// What the plain formula is computed in to judge a result of `dtype`: the same, and float32 for
// float64, where the plain formula would be the oracle itself.
inline at::ScalarType yardstick_dtype(at::ScalarType dtype) {
  return dtype == at::kDouble ? at::kFloat : dtype;
}

// The root of the mean of (a - b)^2; NaN if there is one.
inline double mean_error(const at::Tensor& a, const at::Tensor& b) {
  if (a.numel() == 0) return 0;
  return (a.to(at::kDouble) - b.to(at::kDouble)).square().mean().sqrt().item<double>();
}

// The rule for every kernel: the error against the float64 oracle is, in the mean, at most twice
// that of the plain formula in the same dtype, plus rounding of the output; nowhere more than four
// times (the largest of few errors is a matter of luck). In float64, the plain formula's error in
// float32 times the ratio of the two roundings. A NaN anywhere fails.
inline ::testing::AssertionResult close_to_oracle(const at::Tensor& got, const at::Tensor& plain,
                                                  const at::Tensor& oracle) {
  if (got.sizes() != oracle.sizes()) {
    return ::testing::AssertionFailure() << "sizes " << got.sizes() << ", not " << oracle.sizes();
  }
  const double unit = rounding(got.scalar_type());
  const double ratio = unit / rounding(plain.scalar_type());
  const auto within = [&](double error, double plain_error, double times) {
    return error <= times * plain_error * ratio + 4 * unit * largest(oracle);
  };
  const double mean = mean_error(got, oracle), plain_mean = mean_error(plain, oracle);
  const double worst = max_error(got, oracle), plain_worst = max_error(plain, oracle);
  if (!within(mean, plain_mean, 2) || !within(worst, plain_worst, 4)) {
    return ::testing::AssertionFailure()
           << "errors against the oracle: mean " << mean << ", largest " << worst
           << "; the plain formula's are " << plain_mean << " and " << plain_worst;
  }
  return ::testing::AssertionSuccess();
}

// The same sizes and the same bits; NaN nowhere.
inline ::testing::AssertionResult same_bits(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes()) {
    return ::testing::AssertionFailure() << "sizes " << a.sizes() << " and " << b.sizes();
  }
  if (!at::equal(a, b)) {
    return ::testing::AssertionFailure() << "not equal; largest difference " << max_error(a, b);
  }
  return ::testing::AssertionSuccess();
}

}  // namespace lowrank::testing
