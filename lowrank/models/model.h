// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include <filesystem>
#include <memory>
#include <string>

#include "lowrank/models/config.h"

namespace lowrank::models {

// What a model reads; the fields of data::Batch without its labels.
struct Inputs {
  at::Tensor tokens;    // [total] int64
  at::Tensor offsets;   // [b + 1] int64, on the CPU
  at::Tensor segments;  // [total] int64 or undefined
};

// An encoder and the head of its task.
class Model : public torch::nn::Module {
 public:
  explicit Model(ModelConfig config);
  const ModelConfig& config() const { return config_; }

  // Rows of the last layer, [rows, c], and their offsets.
  nn::Embedded encode(const Inputs& inputs);

  // Classification: [b, classes]. Masked language model: [total, v].
  at::Tensor logits(const Inputs& inputs);

  // Mean cross-entropy; labels as in data::Batch (-100: no loss). Masked language model: computes
  // logits of the labelled rows only.
  at::Tensor loss(const Inputs& inputs, const at::Tensor& labels);

 private:
  ModelConfig config_;
  nn::Embeddings embeddings_{nullptr};
  std::vector<nn::EncoderLayer> layers_;
  at::Tensor shared_e_;  // layerwise sharing
  torch::nn::LayerNorm final_norm_{nullptr};  // pre-LN
  // heads: see model.cpp
  torch::nn::Linear dense_{nullptr}, classifier_{nullptr};
  torch::nn::LayerNorm head_norm_{nullptr};
  at::Tensor output_bias_;
};

// A model directory: config.json and model.safetensors. save_model writes into an existing folder
// (use AtomicDirectory); load_model throws Error listing every missing, extra and misshapen tensor.
void save_model(const Model& model, const std::filesystem::path& folder);
std::shared_ptr<Model> load_model(const std::filesystem::path& folder);

}  // namespace lowrank::models
