// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "lowrank/models/foreign_module.h"

// fairseq's examples/linformer: its attention. The encoder around it: fairseq.h.
namespace lowrank::models::fairseq {

struct Options {
  int64_t width = 768;        // embed_dim
  int64_t heads = 12;         // num_heads
  int64_t max_length = 512;   // max_seq_len
  int64_t projected = 128;    // max_seq_len / compressed
  bool shared_kv = false;     // shared_kv_compressed: E for keys and values
  bool shared_layer = false;  // shared_compress_layer: one E, with a bias that nothing uses

  bool operator==(const Options&) const = default;
};

// softmax(s q k^T) v, k = (E x) W_k + b_k, v = (F x) W_v + b_v: the biases are added after the
// compression. E and F are the first n columns of compress_k and compress_v [r, n_max]. Takes x; there
// is no mask. Parameters {q,k,v,out}_proj.*, compress_k.*, compress_v.*.
class MultiheadLinearAttention : public ForeignModule {
 public:
  explicit MultiheadLinearAttention(const Options& options);
  at::Tensor forward(const ForeignInputs& inputs) override;

 private:
  Options options_;
  torch::nn::Linear query_, key_, value_, output_;
  torch::nn::Linear compress_k_, compress_v_{nullptr};
};

}  // namespace lowrank::models::fairseq
