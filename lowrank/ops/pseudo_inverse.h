// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>

namespace lowrank {

// The Nystromformer's iterated pseudo-inverse of each matrix of a batch.
//
//   Z_0 = A^T / (|A|_1 |A|_inf), per matrix        Z <- 1/4 Z (13 I - A Z (15 I - A Z (7 I - A Z)))
//
// Few steps do not always converge: the result is a polynomial of A, a regulariser that trained
// models depend on. The gradient goes through the steps. Xiong et al. 2021, arXiv:2102.03902, eq. 11;
// Razavi et al. 2014.
//
//   a         [..., m, m]   float32, bfloat16, float16 or float64
//   steps     1 to 32
//   returns   [..., m, m]   dtype of a; products in float32 (float64 for float64)
at::Tensor pseudo_inverse(const at::Tensor& a, int64_t steps = 6);

// |A Z A - A| / |A| in the Frobenius norm, per matrix, [...] float32 or float64: how far `z` is from
// an inverse. 0 for a zero matrix.
at::Tensor pseudo_inverse_residual(const at::Tensor& a, const at::Tensor& z);

}  // namespace lowrank
