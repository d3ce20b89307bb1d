// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/foreign_fairseq.h"

#include <ATen/ATen.h>

#include <cmath>

namespace lowrank::models::fairseq {

MultiheadLinearAttention::MultiheadLinearAttention(const Options& options)
    : options_(options),
      query_(register_module("q_proj", make_linear(options.width, options.width))),
      key_(register_module("k_proj", make_linear(options.width, options.width))),
      value_(register_module("v_proj", make_linear(options.width, options.width))),
      output_(register_module("out_proj", make_linear(options.width, options.width))),
      compress_k_(register_module(
          "compress_k", make_linear(options.max_length, options.projected, options.shared_layer))) {
  if (options.shared_kv) return;
  compress_v_ = options.shared_layer ? compress_k_
                                     : make_linear(options.max_length, options.projected, false);
  register_module("compress_v", compress_v_);
}

at::Tensor MultiheadLinearAttention::forward(const ForeignInputs& inputs) {
  constexpr const char* kWhere = "lowrank::models::fairseq::MultiheadLinearAttention";
  check_vectors(kWhere, inputs.x, options_.width);
  const int64_t n = inputs.x.size(1);
  TORCH_CHECK_VALUE(n <= options_.max_length, kWhere, ": a sequence has ", n,
                    " rows; this model takes max_length = ", options_.max_length, ". Shorten it.");
  const auto compressed = [&](const torch::nn::Linear& e) {
    return at::matmul(e->weight.slice(1, 0, n), inputs.x);
  };
  const at::Tensor ex = compressed(compress_k_);
  const at::Tensor fx = options_.shared_kv ? ex : compressed(compress_v_);
  const at::Tensor k = split_heads(key_(ex), options_.heads);
  const at::Tensor v = split_heads(value_(fx), options_.heads);
  const at::Tensor q = split_heads(query_(inputs.x), options_.heads);
  const double scale = 1 / std::sqrt(static_cast<double>(options_.width / options_.heads));
  const at::Tensor scores = at::matmul(q * scale, k.transpose(-2, -1));
  return output_(join_heads(at::matmul(at::softmax(scores, -1), v)));
}

}  // namespace lowrank::models::fairseq
