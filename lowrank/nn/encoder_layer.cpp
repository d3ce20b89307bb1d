// SPDX-License-Identifier: Apache-2.0
#include "lowrank/nn/encoder_layer.h"

#include <ATen/ATen.h>

#include "lowrank/nn/initialize.h"

namespace lowrank::nn {

EncoderLayerImpl::EncoderLayerImpl(const EncoderLayerOptions& options) : options_(options) {
  TORCH_CHECK_VALUE(options.activation == "gelu" || options.activation == "relu",
                    "lowrank::nn::EncoderLayer: activation = \"", options.activation,
                    "\"; it must be gelu or relu. Choose one of them.");
  const int64_t c = options.attention.width;
  const auto norm = torch::nn::LayerNormOptions({c}).eps(options.norm_epsilon);
  attention = register_module("attention", Attention(options.attention));
  norm1 = register_module("norm1", torch::nn::LayerNorm(norm));
  norm2 = register_module("norm2", torch::nn::LayerNorm(norm));
  expand = register_module("expand", torch::nn::Linear(c, options.feed_forward));
  contract = register_module("contract", torch::nn::Linear(options.feed_forward, c));
  initialize(expand);
  initialize(contract);
}

at::Tensor EncoderLayerImpl::feed_forward(const at::Tensor& x) {
  const at::Tensor hidden = expand(x);
  return contract(options_.activation == "gelu" ? at::gelu(hidden) : at::relu(hidden));
}

at::Tensor EncoderLayerImpl::forward(const at::Tensor& x, const at::Tensor& offsets,
                                     const at::Tensor& shared_e) {
  const auto drop = [&](const at::Tensor& branch) {
    return at::dropout(branch, options_.dropout, is_training());
  };
  if (options_.norm == NormPosition::kPre) {
    const at::Tensor attended = x + drop(attention(norm1(x), offsets, shared_e));
    return attended + drop(feed_forward(norm2(attended)));
  }
  const at::Tensor attended = norm1(x + drop(attention(x, offsets, shared_e)));
  return norm2(attended + drop(feed_forward(attended)));
}

}  // namespace lowrank::nn
