// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/modules/container/modulelist.h>
#include <torch/nn/modules/conv.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "lowrank/models/foreign_module.h"

// nystrom-attention (lucidrains), version 0.0.14.
namespace lowrank::models::lucidrains {

struct Options {
  int64_t width = 512;        // dim
  int64_t layers = 0;         // depth; 0: a NystromAttention alone
  int64_t heads = 8;          // heads
  int64_t head_size = 64;     // dim_head
  int64_t landmarks = 256;    // num_landmarks
  int64_t inverse_steps = 6;  // pinv_iterations
  int64_t conv = 33;          // residual_conv_kernel; 0: residual=False

  bool operator==(const Options&) const = default;
};

// Linear without bias, compat::lucidrains_attention, Linear. Takes x and mask; parameters
// to_qkv.weight, to_out.0.*, res_conv.weight [h, 1, conv, 1].
class NystromAttention : public ForeignModule {
 public:
  explicit NystromAttention(const Options& options);
  at::Tensor forward(const ForeignInputs& inputs) override;

 private:
  Options options_;
  torch::nn::Linear to_qkv_, to_out_;
  torch::nn::Conv2d res_conv_{nullptr};
};

// x + attention(norm(x)), then x + feed_forward(norm(x)) with the exact gelu and 4 width hidden
// channels; no final norm. Takes x and mask; parameters layers.<i>.0.* and layers.<i>.1.*.
class Nystromformer : public ForeignModule {
 public:
  explicit Nystromformer(const Options& options);
  at::Tensor forward(const ForeignInputs& inputs) override;

 private:
  std::vector<std::shared_ptr<PreNorm>> parts_;  // attention and feed-forward of each layer in turn
};

// Nystromformer, or NystromAttention where there are no layers.
std::shared_ptr<ForeignModule> make_module(const Options& options);

}  // namespace lowrank::models::lucidrains
