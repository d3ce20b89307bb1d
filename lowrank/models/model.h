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
//
//   encoder                  embeddings -> layers -> LayerNorm (pre-LN)
//   classification           mean of a sequence's rows, or its first (cls) -> linear; an empty
//                            sequence pools to zeros
//   masked language model    linear, gelu, LayerNorm -> product with the token table + bias
//
// Parameters start as nn/initialize.h, nn/embeddings.h and nn/attention.h say, drawn from LibTorch's
// default generator: at::manual_seed makes them repeatable. Names: embeddings.*, layers.<i>.*,
// final_norm.*, classifier.*, dense.*, head_norm.*, output_bias and, for layerwise sharing, shared_e.
class Model : public torch::nn::Module {
 public:
  explicit Model(ModelConfig config);
  const ModelConfig& config() const { return config_; }

  // Rows of the last layer, [rows, c], and their offsets.
  nn::Embedded encode(const Inputs& inputs);

  // Classification: [b, classes]. Masked language model: [total, v].
  at::Tensor logits(const Inputs& inputs);

  // Mean cross-entropy; labels as in data::Batch (-100: no loss; zero if all are). Masked language
  // model: computes logits of the labelled rows only.
  at::Tensor loss(const Inputs& inputs, const at::Tensor& labels);

 private:
  at::Tensor pool(const nn::Embedded& rows) const;
  // Logits of rows that encode() (masked language model) or pool() (classification) returned.
  at::Tensor head(const at::Tensor& rows);

  ModelConfig config_;
  nn::Embeddings embeddings_{nullptr};
  std::vector<nn::EncoderLayer> layers_;
  at::Tensor shared_e_;                       // layerwise sharing
  torch::nn::LayerNorm final_norm_{nullptr};  // pre-LN
  torch::nn::Linear classifier_{nullptr};     // classification
  torch::nn::Linear dense_{nullptr};          // masked language model, and the two below
  torch::nn::LayerNorm head_norm_{nullptr};
  at::Tensor output_bias_;
};

// Numbers that training changes.
int64_t parameter_count(const Model& model);

// A model directory: config.json and model.safetensors. save_model writes into an existing folder
// (use AtomicDirectory). load_model throws Error listing every missing, extra and misshapen tensor;
// the model it returns has the file's dtype and bits, and is in evaluation mode.
void save_model(const Model& model, const std::filesystem::path& folder);
std::shared_ptr<Model> load_model(const std::filesystem::path& folder);

}  // namespace lowrank::models
