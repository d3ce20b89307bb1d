// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace lowrank {

struct NystromOptions {
  static constexpr int64_t kMostExact = 65536;  // of exact_up_to

  int64_t landmarks = 64;     // m
  int64_t exact_up_to = 0;    // sequences of at most max(m, exact_up_to) tokens get exact attention
  int64_t inverse_steps = 6;  // steps of the recurrence for Z, 1 to 32
  int64_t conv = 0;           // taps of the depthwise convolution of v, odd; 0: none
  std::optional<double> scale = std::nullopt;  // s; absent means 1/sqrt(d)

  bool operator==(const NystromOptions&) const = default;
};

// Nystrom attention over a ragged batch: approximates softmax(s q k^T) v in O(n m) per sequence.
//
//   out = F (Z (B v)) [+ v * w]   F = softmax(s q km^T)  [n, m]     B = softmax(s qm k^T)  [m, n]
//                                 Z ~ inverse of A = softmax(s qm km^T)  [m, m]
//
// qm and km hold the means of m consecutive segments of a sequence's own q and k; segment lengths
// differ by at most one, the first n mod m are the longer. Z: see pseudo_inverse. A sequence of
// n <= max(m, exact_up_to) tokens gets softmax(s q k^T) v in O(n^2), [+ v * w] as the others. v * w is
// the depthwise convolution of v along the sequence, zero outside of it. Xiong et al. 2021,
// arXiv:2102.03902.
//
//   q, k, v   [total, h, d]   float32, bfloat16, float16 or float64, all alike
//   offsets   [b + 1] int64   on the CPU; sequence i is rows offsets[i] to offsets[i + 1]; ascending,
//                             from 0 to total
//   filter    [h, taps]       w, dtype of q, taps = options.conv; undefined when options.conv is 0
//   returns   [total, h, d]   contiguous, dtype of q
//
// A sequence's rows depend on that sequence alone. Sums are kept in float32 (float64 for float64).
// Differentiable in q, k, v and the filter, twice. Deterministic. Throws c10::ValueError for a size
// and c10::TypeError for a dtype or device outside these lines.
at::Tensor nystrom_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const at::Tensor& offsets, const NystromOptions& options = {},
                             const at::Tensor& filter = {});

// Cross-attention: landmarks of q from q's sequence, of k from k's; exact where n_q or n_k
// is at most max(m, exact_up_to). No convolution: options.conv must be 0.
at::Tensor nystrom_cross_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                   const at::Tensor& offsets, const at::Tensor& offsets_k,
                                   const NystromOptions& options = {});

// The same for padded tensors; mask as in padded_exact_attention.
at::Tensor padded_nystrom_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                    const at::Tensor& mask = {}, const NystromOptions& options = {},
                                    const at::Tensor& filter = {});

}  // namespace lowrank
