// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/modules/conv.h>

#include <cstdint>

#include "lowrank/models/foreign_lucidrains.h"
#include "lowrank/models/foreign_module.h"

// TransMIL (szc19990412/TransMIL): a bag of feature vectors to logits.
namespace lowrank::models::transmil {

// 8 heads, width / 2 landmarks, 6 steps and 33 taps, as there.
struct Options {
  int64_t features = 1024;  // of a vector of the bag
  int64_t width = 512;
  int64_t classes = 2;

  bool operator==(const Options&) const = default;
};

// Takes x [b, n, features] and returns [b, classes].
//
// Linear and relu; the first vectors are repeated until the bag is a square of side ceil(sqrt(n));
// cls_token in front; x + attention(norm(x)); convolutions of 7, 5 and 3 over the square; a second
// x + attention(norm(x)); norm and linear of the class token. Parameters _fc1.0.*, cls_token,
// layer1.*, layer2.*, pos_layer.proj*.*, norm.*, _fc2.*.
class TransMil : public ForeignModule {
 public:
  explicit TransMil(const Options& options);
  at::Tensor forward(const ForeignInputs& inputs) override;

 private:
  // The rows after the class token, convolved as a square.
  at::Tensor convolve(const at::Tensor& x, int64_t side);

  Options options_;
  torch::nn::Linear first_, last_;
  torch::nn::LayerNorm norm_;
  at::Tensor cls_token_;
  std::vector<torch::nn::Conv2d> convolutions_;
  struct Layer {
    torch::nn::LayerNorm norm{nullptr};
    std::shared_ptr<lucidrains::NystromAttention> attention;
  };
  std::vector<Layer> layers_;
};

}  // namespace lowrank::models::transmil
