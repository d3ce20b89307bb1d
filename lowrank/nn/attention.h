// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>

#include "lowrank/nn/packed_linear.h"
#include "lowrank/ops/attention_kind.h"
#include "lowrank/ops/profile.h"

namespace lowrank::nn {

struct AttentionOptions {
  int64_t width = 64;  // c
  int64_t heads = 2;   // h; divides c
  AttentionKind kind = NystromOptions{};
  double dropout = 0;  // of the output
  bool bias = true;

  // Another implementation's function instead (ops/compat.h), where weights depend on it. kHuggingFace
  // and kMlpen, Nystrom: needs `mask`, and with it the two numbers of compat::Options. kFairseq,
  // Linformer: the key's and value's bias is added after E, once, E (X W) + 1 b^T.
  Profile profile = Profile::kNone;
  int64_t segment_length = 0;
  bool per_matrix_start = false;
};

// Multi-head attention of any kind over a ragged batch: the projections, and what the kind learns.
//
//   x        [total, c]     offsets [b + 1] int64 on the CPU
//   returns  [total, c]
//
// Parameters: query, key, value, output (Linear c x c), and by kind, with d = c / h:
//
//   Nystrom, conv > 0     filter [h, conv]       U(-a, a), a = 1 / sqrt(conv)
//   Linformer, linear     e and f, E and F       N(0, 1 / n_max)
//   Linformer, conv       e and f, taps          1 / w: starts as mean_pool
//
//   sharing      linear                       conv, w = ceil(n_max / r)
//   none         2 h r n_max  [h, r, n_max]   2 c w  [c, w]
//   headwise     2 r n_max    [r, n_max]      2 d w  [d, w]
//   kv           r n_max      [r, n_max]      d w    [d, w]
//   layerwise    none here: the encoder owns one as for kv, from make_projection, and passes it
//
// With N(0, 1 / n_max) the keys E k of n_max independent rows have the variance of one row, and so
// scores keep their scale; n < n_max rows have n / n_max of it and start nearer to uniform weights.
//
// Linformer's E, where heads share it, projects x before the key and value layers do:
// E (X W + 1 b^T) = (E X) W + (E 1) b^T costs r rows of them instead of n. mean_pool, max_pool and conv
// turn each window of w of a sequence's own rows into one: the mean of x, the maximum of the keys and
// of the values, a sum of them with one tap a channel and place. Without parameters, pools are the
// same for every sharing.
class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(const AttentionOptions& options);
  void reset_parameters();
  void train(bool on = true) override;

  // `shared_e`: the encoder's E for LinformerSharing::kLayerwise, undefined otherwise. `mask` [b, n]
  // bool: under a profile, which rows of b sequences of one length n are tokens; undefined otherwise.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& offsets,
                     const at::Tensor& shared_e = {}, const at::Tensor& mask = {});
  // Queries from x, keys and values from context. Nystrom needs conv = 0.
  at::Tensor forward_cross(const at::Tensor& x, const at::Tensor& offsets,
                           const at::Tensor& context, const at::Tensor& context_offsets,
                           const at::Tensor& shared_e = {});

  // The steps that forward() is made of, for who looks at one of them or takes another in its place.
  struct Projections {
    at::Tensor q, k, v;  // [total, h, d]
  };
  Projections project(const at::Tensor& x);
  // Linformer: what the queries see instead of keys and values, and where each sequence's rows of it
  // begin.
  struct Compressed {
    at::Tensor keys, values;  // [rows, c]
    at::Tensor offsets;       // [b + 1]
  };
  Compressed compress(const at::Tensor& x, const at::Tensor& offsets,
                      const at::Tensor& shared_e = {});
  at::Tensor join_heads(const at::Tensor& x);  // [total, h, d] to forward()'s [total, c]

  const AttentionOptions& options() const { return options_; }

  torch::nn::Linear query{nullptr}, key{nullptr}, value{nullptr}, output{nullptr};
  at::Tensor filter, e, f;  // undefined where the kind has none

 private:
  at::Tensor split_heads(const at::Tensor& x) const;
  at::Tensor nystrom(const at::Tensor& x, const at::Tensor& offsets, const NystromOptions& kind,
                     const at::Tensor& mask);
  at::Tensor linformer(const at::Tensor& x, const at::Tensor& offsets, const at::Tensor& context,
                       const at::Tensor& context_offsets, const LinformerOptions& kind,
                       const at::Tensor& shared_e);

  AttentionOptions options_;
  std::optional<PackedLinear> packed_projections_, packed_output_;
};
TORCH_MODULE(Attention);

// An E as above, newly drawn; undefined where the kind learns none.
at::Tensor make_projection(const AttentionOptions& options);

}  // namespace lowrank::nn
