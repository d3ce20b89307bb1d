// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "lowrank/ops/profile.h"

// The attention of other implementations, to rounding, for weights that were trained with it. Their
// quirks are kept: results depend on padding and on the rest of the batch. For anything else use
// nystrom.h and linformer.h.
//
//   q, k, v   [b, h, n, d]   float32, bfloat16, float16 or float64, all alike; not yet scaled
//   mask      [b, n] bool, true = token; or [b] int64, lengths; or undefined: see each function
//   filter    [h, taps]      of the depthwise convolution of v, dtype of q, taps odd; undefined: none
//   returns   [b, h, n, d]   dtype of q
//
// Plain LibTorch calls on any device, differentiable by autograd as the originals are, in float32
// (float64 for float64). conv: the convolution along n, zero outside. Z: as in pseudo_inverse.h, but
// for its start. Throws c10::ValueError for a size and c10::TypeError for a dtype outside these lines.
namespace lowrank::compat {

// What Z starts from, A^T divided by ...
enum class InverseStart {
  kMatrix,   // the largest column sum of each matrix
  kBatch,    // the largest column sum of the whole batch and all heads
  kProduct,  // the largest column sum times the largest row sum of the whole batch and all heads
};

// Z of a [..., m, m]. Row and column sums are those of |A| for kProduct, and of A otherwise.
at::Tensor pseudo_inverse(const at::Tensor& a, int64_t steps, InverseStart start);

struct Options {
  Profile profile = Profile::kHuggingFace;  // or kMlpen, kLucidrains, kTransmil
  int64_t landmarks = 64;                   // m
  // kHuggingFace, kMlpen: the one length that m segments are cut from, a multiple of m
  // (segment_means_seq_len, seq_len). Where it is m, attention is exact and any length goes.
  int64_t segment_length = 64;
  int64_t inverse_steps = 6;
  bool per_matrix_start = false;  // kHuggingFace, kMlpen: kMatrix instead of kBatch
};

// The function below that options.profile names.
at::Tensor attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                     const at::Tensor& mask, const Options& options, const at::Tensor& filter = {});

// transformers' NystromformerSelfAttention.
//
//   F = softmax(s q km^T)   A = softmax(s qm km^T)   B = softmax(s qm k^T + bias)
//   out = F (Z (B v)) + conv(v)                 m < segment_length, which must be n
//   out = softmax(s q k^T + bias) v + conv(v)   m = segment_length
//
// bias: the lowest finite number at masked keys. Masked tokens enter the means qm, km and the
// convolution. Without a mask all are tokens.
at::Tensor hugging_face_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                  const at::Tensor& mask, const Options& options,
                                  const at::Tensor& filter = {});

// mlpen/Nystromformer's NystromAttention: as above, with q and k zero at masked tokens before the
// means, which divide by the whole segment; bias = -1e9; conv of v with zeros at masked tokens.
at::Tensor mlpen_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& mask, const Options& options,
                           const at::Tensor& filter = {});

// mlpen/Nystromformer's LinformerAttention: softmax(s q (E k)^T) (E v), k and v zero at masked
// tokens, e [h, r, n] for keys and values; the projected keys are never masked.
at::Tensor mlpen_linformer_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& mask, const at::Tensor& e);

// nystrom-attention's NystromAttention between its projections; options.landmarks and inverse_steps.
//
//   out = F (Z (B v)) + conv(v), of q, k, v with zeros in FRONT up to a multiple of m
//
// Without a mask these zeros are tokens. With one, they and all masked tokens are zero in q, k and v,
// means divide by the tokens of their segment (+ 1e-8), and F, A, B get the lowest finite score where
// either side has none: rows of masked queries are uniform.
at::Tensor lucidrains_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                const at::Tensor& mask, const Options& options,
                                const at::Tensor& filter = {});

}  // namespace lowrank::compat
