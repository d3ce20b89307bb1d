// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/modules/embedding.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lowrank/models/foreign_module.h"
#include "lowrank/ops/linformer.h"

// linformer-pytorch (tatp22), version 0.19.3: its encoders. Its decoders and ff_intermediate are not
// here.
namespace lowrank::models::linformer_pytorch {

enum class Method { kLearnable, kConvolution, kNoParameters };

struct Options {
  int64_t vocabulary = 0;      // num_tokens; 0: no LinformerLM
  int64_t embedding = 0;       // emb_dim; 0: as width
  int64_t width = 128;         // channels
  int64_t layers = 0;          // depth; 0: an MHAttention alone
  int64_t heads = 4;           // nhead
  int64_t head_size = 32;      // dim, dim_d
  int64_t max_length = 512;    // input_size; there is no other length
  int64_t projected = 64;      // dim_k
  int64_t projected_step = 0;  // k_reduce_by_layer: r is less by this in each layer, 1 at least
  int64_t feed_forward = 256;  // dim_ff; 0: include_ff=False
  std::string activation = "gelu";                          // or "relu"
  LinformerSharing sharing = LinformerSharing::kLayerwise;  // parameter_sharing
  Method method = Method::kLearnable;
  int64_t output_rank = 0;      // w_o_intermediate_dim; 0: one output layer
  bool causal = false;          // masks projected column j of row i where j > i
  bool full_attention = false;  // E and F exist and nothing uses them

  bool operator==(const Options&) const = default;
};

// E or F. learnable: x^T -> W x^T + b, W [r, n]; convolution: of all head channels, kernel and stride
// n / r, W [d, d, n / r]; no parameters: `weight` [n, r] alone.
class Projection : public torch::nn::Module {
 public:
  Projection(const Options& options, int64_t projected);
  at::Tensor apply(const at::Tensor& x) const;  // [b, n, d] to [b, r, d]

  const at::Tensor& weight() const { return weight_; }

 private:
  Method method_;
  at::Tensor weight_, bias_;
};

// Takes x, mask (zeroes rows of k and v: "input_mask") and query_mask (rows of q: "embeddings_mask").
// Parameters to_{q,k,v}.<head>.weight, heads.<head>.{E,F}.*, w_o.* or w_o_1.* and w_o_2.*. Without
// parameters heads.<head>.{E,F} are buffers here; upstream writes them into no state_dict.
class MultiHeadAttention : public ForeignModule {
 public:
  // `shared`: the one E of all layers, for LinformerSharing::kLayerwise.
  MultiHeadAttention(const Options& options, int64_t projected, std::shared_ptr<Projection> shared);
  at::Tensor forward(const ForeignInputs& inputs) override;

 private:
  struct Head {
    torch::nn::Linear to_q{nullptr}, to_k{nullptr}, to_v{nullptr};
    std::shared_ptr<Projection> e, f;
  };
  at::Tensor attend(Head& head, const ForeignInputs& inputs);

  Options options_;
  std::vector<Head> heads_;
  std::vector<torch::nn::Linear> output_;
};

// Takes what the attention takes. Post-norm: norm(x + fn(x)); seq.<i>.{fn,norm}.*, attention and
// feed-forward in turn.
class Linformer : public ForeignModule {
 public:
  explicit Linformer(const Options& options);
  at::Tensor forward(const ForeignInputs& inputs) override;

 private:
  struct Part {
    std::shared_ptr<ForeignModule> fn;
    torch::nn::LayerNorm norm{nullptr};
  };
  std::vector<Part> parts_;
};

// Takes x = tokens [b, n] and what the attention takes, returns logits [b, n, vocabulary].
// to_token_emb, plus sines of place * pos_emb.inv_freq and then, in the second half, their cosines;
// linformer.*, or linformer.{project_in,fn,project_out}.* where embedding is not width; to_logits.
class LanguageModel : public ForeignModule {
 public:
  explicit LanguageModel(const Options& options);
  at::Tensor forward(const ForeignInputs& inputs) override;

 private:
  Options options_;
  torch::nn::Embedding to_token_emb_{nullptr};
  at::Tensor inv_freq_;
  std::shared_ptr<Linformer> linformer_;
  torch::nn::Linear project_in_{nullptr}, project_out_{nullptr}, to_logits_{nullptr};
};

// LanguageModel where there is a vocabulary, MultiHeadAttention where there are neither one nor
// layers, Linformer otherwise.
std::shared_ptr<ForeignModule> make_module(const Options& options);

}  // namespace lowrank::models::linformer_pytorch
