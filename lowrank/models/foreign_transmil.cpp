// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/foreign_transmil.h"

#include <ATen/ATen.h>

#include <cmath>

namespace lowrank::models::transmil {

TransMil::TransMil(const Options& options)
    : options_(options),
      first_(make_linear(options.features, options.width)),
      last_(register_module("_fc2", make_linear(options.width, options.classes))),
      norm_(register_module("norm", make_layer_norm(options.width))),
      cls_token_(register_parameter("cls_token", at::zeros({1, 1, options.width}))) {
  register_module("_fc1", std::make_shared<torch::nn::Module>())->register_module("0", first_);
  const auto square = register_module("pos_layer", std::make_shared<torch::nn::Module>());
  for (const auto& [name, size] :
       {std::pair("proj", 7), std::pair("proj1", 5), std::pair("proj2", 3)}) {
    auto taps = torch::nn::Conv2dOptions(options.width, options.width, size);
    convolutions_.push_back(square->register_module(
        name, torch::nn::Conv2d(taps.groups(options.width).padding(size / 2))));
  }
  const lucidrains::Options attention{.width = options.width,
                                      .heads = 8,
                                      .head_size = options.width / 8,
                                      .landmarks = options.width / 2,
                                      .inverse_steps = 6,
                                      .conv = 33};
  for (const char* name : {"layer1", "layer2"}) {
    const auto layer = register_module(name, std::make_shared<torch::nn::Module>());
    layers_.push_back({layer->register_module("norm", make_layer_norm(options.width)),
                       layer->register_module(
                           "attn", std::make_shared<lucidrains::NystromAttention>(attention))});
  }
}

at::Tensor TransMil::convolve(const at::Tensor& x, int64_t side) {
  const at::Tensor square = x.slice(1, 1).transpose(1, 2).unflatten(2, {side, side});
  at::Tensor sum = square;
  for (torch::nn::Conv2d& convolution : convolutions_) sum = sum + convolution(square);
  return at::cat({x.slice(1, 0, 1), sum.flatten(2).transpose(1, 2)}, 1);
}

at::Tensor TransMil::forward(const ForeignInputs& inputs) {
  check_vectors("lowrank::models::transmil::TransMil", inputs.x, options_.features);
  const int64_t n = inputs.x.size(1);
  TORCH_CHECK_VALUE(n > 0,
                    "lowrank::models::transmil::TransMil: the bag has no vectors. Pass one.");
  const auto side = static_cast<int64_t>(std::ceil(std::sqrt(static_cast<double>(n))));
  const at::Tensor bag = at::relu(first_(inputs.x));
  const at::Tensor square = at::cat({bag, bag.slice(1, 0, side * side - n)}, 1);
  at::Tensor x = at::cat({cls_token_.expand({bag.size(0), 1, options_.width}), square}, 1);
  const auto attend = [&](Layer& layer) {
    return x + layer.attention->forward({.x = layer.norm(x)});
  };
  x = convolve(attend(layers_[0]), side);
  x = attend(layers_[1]);
  return last_(norm_(x).select(1, 0));
}

}  // namespace lowrank::models::transmil
