// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <optional>

#include "lowrank/nn/activation.h"
#include "lowrank/nn/attention.h"
#include "lowrank/nn/packed_linear.h"

namespace lowrank::nn {

enum class NormPosition { kPre, kPost };

struct EncoderLayerOptions {
  AttentionOptions attention;
  int64_t feed_forward = 128;
  Activation activation = Activation::kGelu;
  NormPosition norm = NormPosition::kPre;
  double dropout = 0;          // of both residual branches
  double norm_epsilon = 1e-5;  // added to the variance
};

// One transformer encoder layer over a ragged batch.
//
//   pre:  x <- x + attention(norm1(x)),  x <- x + feed_forward(norm2(x))      (Xiong et al. 2020)
//   post: x <- norm1(x + attention(x)),  x <- norm2(x + feed_forward(x))      (Vaswani et al. 2017)
class EncoderLayerImpl : public torch::nn::Module {
 public:
  explicit EncoderLayerImpl(const EncoderLayerOptions& options);
  void train(bool on = true) override;
  at::Tensor forward(const at::Tensor& x, const at::Tensor& offsets,
                     const at::Tensor& shared_e = {}, const at::Tensor& mask = {});

  // forward() in two steps, for who takes other attention in between: what the attention reads of x,
  // and the layer's output from what that made of it, [total, c], whose
  // memory it may take.
  at::Tensor attention_input(const at::Tensor& x);
  at::Tensor complete(const at::Tensor& x, at::Tensor attended);

  Attention attention{nullptr};
  torch::nn::LayerNorm norm1{nullptr}, norm2{nullptr};
  torch::nn::Linear expand{nullptr}, contract{nullptr};

 private:
  at::Tensor feed_forward(const at::Tensor& x);
  at::Tensor infer(const at::Tensor& x, at::Tensor out);

  EncoderLayerOptions options_;
  std::optional<PackedLinear> packed_expand_, packed_contract_;
};
TORCH_MODULE(EncoderLayer);

}  // namespace lowrank::nn
