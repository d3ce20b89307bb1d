// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/foreign_module.h"

#include <ATen/ATen.h>

namespace lowrank::models {

PreNorm::PreNorm(int64_t width, std::shared_ptr<ForeignModule> fn)
    : norm_(register_module("norm", make_layer_norm(width))),
      fn_(register_module("fn", std::move(fn))) {}

at::Tensor PreNorm::forward(const ForeignInputs& inputs) {
  ForeignInputs normed = inputs;
  normed.x = norm_(inputs.x);
  return fn_->forward(normed);
}

torch::nn::Linear make_linear(int64_t in, int64_t out, bool bias) {
  return torch::nn::Linear(torch::nn::LinearOptions(in, out).bias(bias));
}

torch::nn::LayerNorm make_layer_norm(int64_t width) {
  return torch::nn::LayerNorm(std::vector<int64_t>{width});
}

at::Tensor split_heads(const at::Tensor& x, int64_t heads) {
  return x.unflatten(2, {heads, x.size(2) / heads}).transpose(1, 2);
}

at::Tensor join_heads(const at::Tensor& x) { return x.transpose(1, 2).flatten(2); }

void check_vectors(const char* where, const at::Tensor& x, int64_t width) {
  TORCH_CHECK_VALUE(x.dim() == 3 && x.size(2) == width, where, ": x must be [batch, length, ",
                    width, "]; got sizes ", x.sizes(), ". Pass vectors of the model's width.");
}

}  // namespace lowrank::models
