// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>

#include <memory>

namespace lowrank::models {

// What a module of another package reads. Each module says which of these it takes.
struct ForeignInputs {
  at::Tensor x = {};           // [b, n, width] vectors; language models: [b, n] int64 tokens
  at::Tensor mask = {};        // [b, n] bool, true = token; undefined: none
  at::Tensor query_mask = {};  // [b, n] bool; undefined: none
  at::Tensor context = {};     // [b, n_k, width]; undefined: x
};

// A module of another package, rebuilt so that the names of its parameters and buffers are those of
// that package's state_dict and its results the same to rounding, quirks included. Dropout is left
// out: these run what was trained, and give gradients. Any floating dtype, any device.
//
// Tensors are padded, as there: a result depends on padding and on batch mates where upstream's does.
class ForeignModule : public torch::nn::Module {
 public:
  virtual at::Tensor forward(const ForeignInputs& inputs) = 0;
};

// fn(norm(x)) under the names `norm` and `fn` of lucidrains' packages.
class PreNorm : public ForeignModule {
 public:
  PreNorm(int64_t width, std::shared_ptr<ForeignModule> fn);
  at::Tensor forward(const ForeignInputs& inputs) override;

 private:
  torch::nn::LayerNorm norm_;
  std::shared_ptr<ForeignModule> fn_;
};

torch::nn::Linear make_linear(int64_t in, int64_t out, bool bias = true);
torch::nn::LayerNorm make_layer_norm(int64_t width);

// x [b, n, h d] as [b, h, n, d], and back.
at::Tensor split_heads(const at::Tensor& x, int64_t heads);
at::Tensor join_heads(const at::Tensor& x);

// Throws c10::ValueError unless x is [b, n, width].
void check_vectors(const char* where, const at::Tensor& x, int64_t width);

}  // namespace lowrank::models
