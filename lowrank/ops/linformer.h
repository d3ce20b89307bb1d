// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

namespace lowrank {

enum class LinformerSharing { kNone, kHeadwise, kKeyValue, kLayerwise };
enum class LinformerProjection { kLinear, kMeanPool, kMaxPool, kConv };

struct LinformerOptions {
  int64_t projected = 256;    // r, rows that a sequence's keys and values are projected to
  int64_t max_length = 4096;  // n_max, columns of E and F
  LinformerSharing sharing = LinformerSharing::kKeyValue;
  LinformerProjection projection = LinformerProjection::kLinear;
  std::optional<double> scale = std::nullopt;  // s; absent means 1/sqrt(d)
};

// Linformer attention over a ragged batch, in O(n r) per sequence.
//
//   out = softmax(s q (E k)^T) (F v)
//
// A sequence of n tokens uses the first n columns of E and F. Wang et al. 2020, arXiv:2006.04768.
//
//   q, k, v   [total, h, d]   float32, bfloat16, float16 or float64, all alike
//   e, f      [r, n_max], shared by the heads, or [h, r, n_max]; dtype of q; f undefined means f = e
//   offsets   [b + 1] int64   on the CPU; ascending, from 0 to total; no sequence longer than n_max
//   returns   [total, h, d]   contiguous, dtype of q
//
// A sequence's rows depend on that sequence alone. Sums are kept in float32 (float64 for float64).
// Differentiable in q, k, v, e and f, twice. Deterministic. Throws c10::ValueError for a size (a
// sequence longer than n_max names both) and c10::TypeError for a dtype or device outside these lines.
at::Tensor linformer_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               const at::Tensor& e, const at::Tensor& f, const at::Tensor& offsets,
                               std::optional<double> scale = std::nullopt);

// Cross-attention: e and f project the key sequence.
at::Tensor linformer_cross_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& e, const at::Tensor& f,
                                     const at::Tensor& offsets, const at::Tensor& offsets_k,
                                     std::optional<double> scale = std::nullopt);

// The same for padded tensors; mask as in padded_exact_attention.
at::Tensor padded_linformer_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                      const at::Tensor& e, const at::Tensor& f,
                                      const at::Tensor& mask = {},
                                      std::optional<double> scale = std::nullopt);

// E x per sequence: what lets a shared E compress the layer's input before the key and value
// projections, (E X) W = E (X W), r rows of projection instead of n.
//
//   x         [total, c]
//   e         [r, n_max], dtype of x
//   returns   [b r, c]        sequence i is rows i r to (i + 1) r; zeros for an empty sequence
at::Tensor project_sequences(const at::Tensor& x, const at::Tensor& e, const at::Tensor& offsets);

// Resizes E along n by linear interpolation: [r, n_max] or [h, r, n_max] to `max_length` columns,
// scaled by n_max / max_length so that E of a constant sequence stays what it was.
at::Tensor resize_projection(const at::Tensor& e, int64_t max_length);

}  // namespace lowrank
