// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/modules/embedding.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "lowrank/models/foreign_module.h"

// linformer (lucidrains), version 0.2.3.
namespace lowrank::models::linformer {

struct Options {
  int64_t vocabulary = 0;    // num_tokens; 0: no LinformerLM
  int64_t width = 512;       // dim
  int64_t layers = 0;        // depth; 0: a LinformerSelfAttention alone
  int64_t heads = 8;         // heads
  int64_t head_size = 64;    // dim_head
  int64_t max_length = 512;  // seq_len
  int64_t projected = 256;   // k
  bool one_kv_head = false;  // one head of keys and values for all of queries
  bool share_kv = false;     // the values are the keys
  bool reversible = false;

  bool operator==(const Options&) const = default;
};

// softmax(s q (E k)^T) (F v); E and F are the first n rows of proj_k and proj_v [n_max, r],
// transposed. Takes x and context, of which keys and values are made; there is no mask. Parameters
// to_q.weight, to_k.weight, proj_k, to_out.* and, unless share_kv, to_v.weight and proj_v.
class SelfAttention : public ForeignModule {
 public:
  explicit SelfAttention(const Options& options);
  at::Tensor forward(const ForeignInputs& inputs) override;

 private:
  Options options_;
  torch::nn::Linear to_q_, to_k_, to_v_{nullptr}, to_out_;
  at::Tensor proj_k_, proj_v_;
};

// Takes x. Pre-norm layers with the exact gelu and 4 width hidden channels, no final norm: net.layers.*.
// Reversible: y1 = x1 + attention(x2), y2 = x2 + feed_forward(y1) from x1 = x2 = x, and the result is
// y1 + y2: net.blocks.*.
class Linformer : public ForeignModule {
 public:
  explicit Linformer(const Options& options);
  at::Tensor forward(const ForeignInputs& inputs) override;

 private:
  bool reversible_;
  std::vector<std::shared_ptr<PreNorm>> parts_;  // attention and feed-forward of each layer in turn
};

// Takes x = tokens [b, n] and returns logits [b, n, vocabulary]; token_emb and pos_emb, added, then
// linformer.* and to_logits.*. It sees the future: no causal mask exists.
class LanguageModel : public ForeignModule {
 public:
  explicit LanguageModel(const Options& options);
  at::Tensor forward(const ForeignInputs& inputs) override;

 private:
  Options options_;
  torch::nn::Embedding token_emb_, pos_emb_;
  std::shared_ptr<Linformer> linformer_;
  torch::nn::Linear to_logits_;
};

// LanguageModel where there is a vocabulary, SelfAttention where there are neither one nor layers,
// Linformer otherwise.
std::shared_ptr<ForeignModule> make_module(const Options& options);

}  // namespace lowrank::models::linformer
