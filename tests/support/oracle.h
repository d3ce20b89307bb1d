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

// The rule for every kernel: the error against the float64 oracle is at most twice that of the plain
// formula in the same dtype, plus the rounding of the output. A NaN anywhere fails.
inline ::testing::AssertionResult close_to_oracle(const at::Tensor& got, const at::Tensor& plain,
                                                  const at::Tensor& oracle) {
  if (got.sizes() != oracle.sizes()) {
    return ::testing::AssertionFailure() << "sizes " << got.sizes() << ", not " << oracle.sizes();
  }
  const double error = max_error(got, oracle);
  // The rounding of a few operations more than the plain formula's in an order of its own.
  const double limit =
      2 * max_error(plain, oracle) + 4 * rounding(got.scalar_type()) * largest(oracle);
  if (!(error <= limit)) {
    return ::testing::AssertionFailure()
           << "error " << error << " against the oracle; at most " << limit << " is allowed, "
           << "the plain formula's is " << max_error(plain, oracle);
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
