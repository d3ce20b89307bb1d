// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/pimpl.h>

#include <cstdint>

#include "lowrank/ops/attention_kind.h"

namespace lowrank::nn {

struct AttentionOptions {
  int64_t width = 64;  // c
  int64_t heads = 2;   // h; divides c
  AttentionKind kind = NystromOptions{};
  double dropout = 0;  // of the output
  bool bias = true;
};

// Multi-head attention of any kind over a ragged batch: the projections, and what the kind learns
// (Nystrom's convolution filter [h, taps]; Linformer's E and F or its convolution).
//
//   x        [total, c]     offsets [b + 1] int64 on the CPU
//   returns  [total, c]
//
// Parameters: query, key, value, output (Linear c x c); "filter" for Nystrom with conv > 0; "e", "f"
// for Linformer by its sharing: none [h, r, n_max] twice, headwise [r, n_max] twice, kv [r, n_max]
// once, layerwise none here (the encoder owns one and passes it).
class AttentionImpl : public torch::nn::Module {
 public:
  explicit AttentionImpl(const AttentionOptions& options);
  void reset_parameters();

  // `shared_e`: the encoder's E for LinformerSharing::kLayerwise, undefined otherwise.
  at::Tensor forward(const at::Tensor& x, const at::Tensor& offsets,
                     const at::Tensor& shared_e = {});
  // Queries from x, keys and values from context.
  at::Tensor forward_cross(const at::Tensor& x, const at::Tensor& offsets,
                           const at::Tensor& context, const at::Tensor& context_offsets,
                           const at::Tensor& shared_e = {});

  const AttentionOptions& options() const { return options_; }

  torch::nn::Linear query{nullptr}, key{nullptr}, value{nullptr}, output{nullptr};
  at::Tensor filter, e, f;  // undefined where the kind has none

 private:
  AttentionOptions options_;
};
TORCH_MODULE(Attention);

}  // namespace lowrank::nn
