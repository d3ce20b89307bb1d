// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>

namespace lowrank {

struct ExactOptions {
  std::optional<double> scale = std::nullopt;  // s; absent means 1/sqrt(d)
};

// Softmax attention over a ragged batch, exact, in O(n^2) per sequence and O(n) memory.
//
//   out = softmax(s q k^T) v
//
//   q, k, v   [total, h, d]   float32, bfloat16, float16 or float64, all alike
//   offsets   [b + 1] int64   on the CPU; sequence i is rows offsets[i] to offsets[i + 1]; ascending,
//                             from 0 to total
//   returns   [total, h, d]   contiguous, dtype of q
//
// A sequence's rows depend on that sequence alone. Sums are kept in float32 (float64 for float64).
// Differentiable in q, k and v, twice. Deterministic. Throws c10::ValueError for a size and
// c10::TypeError for a dtype or device outside these lines.
at::Tensor exact_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& offsets, const ExactOptions& options = {});

// Cross-attention: the queries of sequence i see the keys of sequence i.
//
//   q [total_q, h, d], k and v [total_k, h, d], offsets and offsets_k [b + 1] of one b.
// A sequence without keys gives zeros.
at::Tensor exact_cross_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const at::Tensor& offsets, const at::Tensor& offsets_k,
                                 const ExactOptions& options = {});

// The same for padded tensors: packs the tokens, calls the ragged op, unpacks.
//
//   q, k, v   [b, h, n, d]
//   mask      [b, n] bool, true = token; or [b] int64, lengths; or undefined, all tokens
//   returns   [b, h, n, d]   zeros where the mask is false
at::Tensor padded_exact_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const at::Tensor& mask = {}, const ExactOptions& options = {});

}  // namespace lowrank
