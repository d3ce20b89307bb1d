// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "lowrank/models/config.h"

namespace lowrank::models {

// What a model reads; the fields of data::Batch without its labels.
struct Inputs {
  at::Tensor tokens;    // [total] int64
  at::Tensor offsets;   // [b + 1] int64, on the CPU
  at::Tensor segments;  // [total] int64 or undefined: all 0
  // Under a profile (CompatOptions) that pads, for who pads himself: [total] bool, which rows of
  // sequences of one length are tokens. Paddings then have rows in the output. Else undefined.
  at::Tensor mask = {};
};

// A layer about to be run, with what it reads.
struct LayerStep {
  int64_t index = 0;
  nn::EncoderLayer layer{nullptr};
  const at::Tensor& x;  // [rows, c]
  const at::Tensor& offsets;
  const at::Tensor& shared_e;
  const at::Tensor& mask;  // [b, n], under a profile that pads; else undefined

  at::Tensor operator()() const;  // the layer's output, as the model computes it
};

// An encoder and the head of its task.
//
//   encoder    embeddings -> layers -> LayerNorm (pre-LN)
//   pooled     mean of a sequence's rows, the maximum of each channel, or the first row (cls); zeros
//              for an empty sequence. Then, with a head_activation, dense -> activation
//
//   task                     logits
//   classification           [b, classes]     pooled -> linear
//   masked language model    [total, v]       dense, activation, LayerNorm -> token table (or a table of
//                                             its own where tied_output is off) + bias
//   encoder                  [b, c]           pooled
//   token classification     [total, classes] rows -> linear
//   question answering       [total, 2]       rows -> linear: scores of a first and of a last token
//   multiple choice          [b, 1]           pooled -> linear
//   retrieval                [b, classes]     of 2 b sequences, a pair's two one after the other: pooled p
//                                             and p' -> [p, p', p p', p - p'] -> linear. A
//                                             head_activation's dense layer reads these 4 c
//
// Parameters start as nn/initialize.h, nn/embeddings.h and nn/attention.h say, drawn from LibTorch's
// default generator: at::manual_seed makes them repeatable. Names: embeddings.*, layers.<i>.*,
// final_norm.*, dense.*, classifier.*, head_norm.*, output_table, output_bias, with sentence_order
// order_dense.* and order_classifier.*, and, for layerwise sharing, shared_e.
class Model : public torch::nn::Module {
 public:
  explicit Model(ModelConfig config);
  const ModelConfig& config() const { return config_; }

  // Rows of the last layer, [rows, c], and their offsets.
  nn::Embedded encode(const Inputs& inputs);

  // The same for each step on the way: after the embeddings, after each layer (the last one as
  // encode() returns it).
  std::vector<at::Tensor> hidden_states(const Inputs& inputs);

  // encode() with `run` in the place of each layer: it returns that layer's output, and so may look at
  // what the layer reads or compute it otherwise. An undefined tensor ends the walk, and then nothing
  // is returned. Under a profile rows are padded, the result's too.
  using RunLayer = std::function<at::Tensor(const LayerStep&)>;
  nn::Embedded walk(const Inputs& inputs, const RunLayer& run);

  // One row for each sequence, [b, c]: without the head.
  at::Tensor pool(const nn::Embedded& rows, Pooling pooling) const;

  at::Tensor logits(const Inputs& inputs);

  // The head alone: logits of what encode() returned.
  at::Tensor head(const nn::Embedded& rows);
  // The same of what pool() returned; for tasks that are not about tokens.
  at::Tensor head_of_pooled(const at::Tensor& pooled);

  // With sentence_order: [b, 2], scores of texts in their order and of texts that were swapped, from a
  // sequence's first row: dense -> tanh -> linear.
  at::Tensor order_logits(const nn::Embedded& rows);

  // Mean loss; -100 labels nothing, and where all labels do the loss is zero.
  //
  //   classification           [b] int64: cross-entropy. With one class [b] of numbers: squared error
  //   masked language model    [total] int64; computes logits of the labelled rows only
  //   token classification     [total] int64
  //   question answering       [b, 2] int64, places in the sequence: the mean of the cross-entropies of
  //                            first and last token over the sequence; a place outside labels nothing
  //   multiple choice          [b / choices] int64: the right one of each run of sequences
  //   retrieval                [b] int64: cross-entropy, of 2 b sequences
  //
  // `order` [b] int64, for a model with sentence_order: 1 where a sequence's texts were swapped, else 0;
  // its cross-entropy is added.
  at::Tensor loss(const Inputs& inputs, const at::Tensor& labels, const at::Tensor& order = {});

 private:
  nn::Embedded walk_layers(const Inputs& inputs, const RunLayer& run,
                           std::vector<at::Tensor>* states);
  at::Tensor head_of_rows(const at::Tensor& rows);
  at::Tensor answer_loss(const nn::Embedded& rows, const at::Tensor& labels);

  ModelConfig config_;
  nn::Embeddings embeddings_{nullptr};
  std::vector<nn::EncoderLayer> layers_;
  at::Tensor shared_e_;                       // layerwise sharing
  torch::nn::LayerNorm final_norm_{nullptr};  // pre-LN
  torch::nn::Linear dense_{nullptr};          // masked language model, or with a head_activation
  torch::nn::Linear classifier_{nullptr};     // tasks with classes or scores
  torch::nn::LayerNorm head_norm_{nullptr};   // masked language model, and the two below
  at::Tensor output_table_;                   // without tied_output
  at::Tensor output_bias_;
  torch::nn::Linear order_dense_{nullptr}, order_classifier_{nullptr};  // sentence_order
};

// Numbers that training changes.
int64_t parameter_count(const Model& model);

}  // namespace lowrank::models
