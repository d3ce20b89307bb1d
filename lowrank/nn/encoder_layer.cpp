// SPDX-License-Identifier: Apache-2.0
#include "lowrank/nn/encoder_layer.h"

#include <ATen/ATen.h>

#include "lowrank/nn/initialize.h"

namespace lowrank::nn {
namespace {

// Tokens that pass the feed-forward part together in inference: their hidden rows, several times as
// wide as the others, are never all in memory.
constexpr int64_t kRowsTogether = 1024;

// a + b, in a's memory where autocast has not made it the narrower of the two.
at::Tensor add_up(const at::Tensor& a, const at::Tensor& b) {
  return a.scalar_type() == at::result_type(a, b) ? a.add_(b) : a + b;
}

}  // namespace

EncoderLayerImpl::EncoderLayerImpl(const EncoderLayerOptions& options) : options_(options) {
  const int64_t c = options.attention.width;
  const auto norm = torch::nn::LayerNormOptions({c}).eps(options.norm_epsilon);
  attention = register_module("attention", Attention(options.attention));
  norm1 = register_module("norm1", torch::nn::LayerNorm(norm));
  norm2 = register_module("norm2", torch::nn::LayerNorm(norm));
  expand = register_module("expand", torch::nn::Linear(c, options.feed_forward));
  contract = register_module("contract", torch::nn::Linear(options.feed_forward, c));
  initialize(expand);
  initialize(contract);
  packed_expand_.emplace(std::vector{expand});
  packed_contract_.emplace(std::vector{contract});
}

void EncoderLayerImpl::train(bool on) {
  Module::train(on);
  packed_expand_->forget();
  packed_contract_->forget();
}

at::Tensor EncoderLayerImpl::feed_forward(const at::Tensor& x) {
  if (!is_training() && packed_expand_->fits(x)) {
    return (*packed_contract_)((*packed_expand_)(x, options_.activation));
  }
  return contract(activate(expand(x), options_.activation));
}

// Without gradients nothing is kept: sums take the memory of `out`, which comes with what the attention
// made of x, and the rows pass the feed-forward part in groups.
at::Tensor EncoderLayerImpl::infer(const at::Tensor& x, at::Tensor out) {
  const bool pre = options_.norm == NormPosition::kPre;
  out = add_up(out, x);
  if (!pre) out = norm1(out);
  for (int64_t begin = 0; begin < out.size(0); begin += kRowsTogether) {
    const at::Tensor rows = out.slice(0, begin, begin + kRowsTogether);
    rows.add_(feed_forward(pre ? norm2(rows) : rows));
    if (!pre) rows.copy_(norm2(rows));
  }
  return out;
}

at::Tensor EncoderLayerImpl::attention_input(const at::Tensor& x) {
  return options_.norm == NormPosition::kPre ? norm1(x) : x;
}

at::Tensor EncoderLayerImpl::complete(const at::Tensor& x, at::Tensor attended) {
  if (!is_training() && !at::GradMode::is_enabled()) return infer(x, std::move(attended));
  const auto drop = [&](const at::Tensor& branch) {
    return at::dropout(branch, options_.dropout, is_training());
  };
  if (options_.norm == NormPosition::kPre) {
    const at::Tensor sum = x + drop(attended);
    return sum + drop(feed_forward(norm2(sum)));
  }
  const at::Tensor sum = norm1(x + drop(attended));
  return norm2(sum + drop(feed_forward(sum)));
}

at::Tensor EncoderLayerImpl::forward(const at::Tensor& x, const at::Tensor& offsets,
                                     const at::Tensor& shared_e, const at::Tensor& mask) {
  at::Tensor attended = attention(attention_input(x), offsets, shared_e, mask);
  return complete(x, std::move(attended));
}

}  // namespace lowrank::nn
