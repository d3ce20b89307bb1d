// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lowrank {

// Means of m consecutive segments of each sequence: the landmarks of Nystrom attention.
//
// Segment lengths differ by at most one; the first n mod m are the longer. A sequence of n < m
// tokens has n segments of one token; the other m - n rows are zero.
//
//   x         [total, ...]      float32, bfloat16, float16 or float64
//   offsets   [b + 1] int64     on the CPU; ascending, from 0 to total
//   returns   [b, m, ...]       dtype of x; sums in float32 (float64 for float64)
at::Tensor segment_means(const at::Tensor& x, const at::Tensor& offsets, int64_t landmarks);

}  // namespace lowrank
