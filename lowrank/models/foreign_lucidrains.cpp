// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/foreign_lucidrains.h"

#include <ATen/ATen.h>
#include <torch/nn/modules/container/sequential.h>

#include "lowrank/ops/compat.h"

namespace lowrank::models::lucidrains {
namespace {

// net.0 and net.3: a gelu and a dropout stand between them.
class FeedForward : public ForeignModule {
 public:
  explicit FeedForward(int64_t width)
      : expand_(make_linear(width, 4 * width)), contract_(make_linear(4 * width, width)) {
    const auto net = register_module("net", std::make_shared<torch::nn::Module>());
    net->register_module("0", expand_);
    net->register_module("3", contract_);
  }
  at::Tensor forward(const ForeignInputs& inputs) override {
    return contract_(at::gelu(expand_(inputs.x)));
  }

 private:
  torch::nn::Linear expand_, contract_;
};

}  // namespace

NystromAttention::NystromAttention(const Options& options)
    : options_(options),
      to_qkv_(register_module(
          "to_qkv", make_linear(options.width, 3 * options.heads * options.head_size, false))),
      to_out_(make_linear(options.heads * options.head_size, options.width)) {
  register_module("to_out", std::make_shared<torch::nn::Module>())->register_module("0", to_out_);
  if (options.conv == 0) return;
  auto taps = torch::nn::Conv2dOptions(options.heads, options.heads, {options.conv, 1});
  res_conv_ =
      register_module("res_conv", torch::nn::Conv2d(taps.groups(options.heads).bias(false)));
}

at::Tensor NystromAttention::forward(const ForeignInputs& inputs) {
  check_vectors("lowrank::models::lucidrains::NystromAttention", inputs.x, options_.width);
  const std::vector<at::Tensor> qkv = to_qkv_(inputs.x).chunk(3, -1);
  const auto heads = [&](size_t i) { return split_heads(qkv[i], options_.heads); };
  const at::Tensor filter = res_conv_ ? res_conv_->weight.squeeze(3).squeeze(1) : at::Tensor();
  const at::Tensor out = compat::lucidrains_attention(heads(0), heads(1), heads(2), inputs.mask,
                                                      {.profile = Profile::kLucidrains,
                                                       .landmarks = options_.landmarks,
                                                       .inverse_steps = options_.inverse_steps},
                                                      filter);
  return to_out_(join_heads(out));
}

Nystromformer::Nystromformer(const Options& options) {
  auto layers = register_module("layers", torch::nn::ModuleList());
  for (int64_t i = 0; i < options.layers; ++i) {
    torch::nn::ModuleList layer;
    for (const auto& fn :
         {std::shared_ptr<ForeignModule>(std::make_shared<NystromAttention>(options)),
          std::shared_ptr<ForeignModule>(std::make_shared<FeedForward>(options.width))}) {
      parts_.push_back(std::make_shared<PreNorm>(options.width, fn));
      layer->push_back(parts_.back());
    }
    layers->push_back(layer);
  }
}

at::Tensor Nystromformer::forward(const ForeignInputs& inputs) {
  ForeignInputs state = inputs;
  for (const auto& part : parts_) state.x = state.x + part->forward(state);
  return state.x;
}

std::shared_ptr<ForeignModule> make_module(const Options& options) {
  if (options.layers == 0) return std::make_shared<NystromAttention>(options);
  return std::make_shared<Nystromformer>(options);
}

}  // namespace lowrank::models::lucidrains
