// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/embedding.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/normalization.h>
#include <torch/nn/pimpl.h>

#include <cstdint>
#include <vector>

namespace lowrank::nn {

enum class EmbeddingKind {
  kTokens,       // one vector a token
  kNgrams,       // hashed n-grams of tokens, summed over patches
  kConvolution,  // token vectors, a strided convolution a patch wide
};
enum class Positions { kLearned, kSinusoidal, kNone };

struct EmbeddingsOptions {
  EmbeddingKind kind = EmbeddingKind::kTokens;
  int64_t vocabulary = 259;              // v
  int64_t width = 64;                    // c
  int64_t patch = 1;                     // tokens summed into one row; kTokens: sum of their vectors
  std::vector<int64_t> ngrams = {1, 3};  // kNgrams: lengths
  int64_t buckets = 16384;               // kNgrams: rows of each length's table
  Positions positions = Positions::kLearned;
  int64_t max_positions = 2048;          // rows (after patching) that positions exist for
  int64_t segments = 0;                  // kinds of segment (sentence A, B); 0: none
  bool norm = false;                     // LayerNorm after the sum
  double dropout = 0;
};

// Rows of a ragged batch after embedding: a patch of p tokens is one row.
struct Embedded {
  at::Tensor x;        // [rows, c]
  at::Tensor offsets;  // [b + 1] int64, in rows: ceil(n / patch) a sequence
};

// Tokens to vectors.
//
// kNgrams: row i is the sum over the patch's tokens t and the lengths g of table_g[hash(ids t-g+1..t)],
// divided by sqrt(number of terms); tokens before the sequence's start count as -1. The idea of CANINE
// (arXiv:2103.06874) and of the Byte Latent Transformer (arXiv:2412.09871).
//
//   tokens    [total] int64 in [0, v)   offsets [b + 1]   segments [total] or undefined
//
// Throws c10::ValueError when a sequence has more rows than max_positions (naming both numbers).
class EmbeddingsImpl : public torch::nn::Module {
 public:
  explicit EmbeddingsImpl(const EmbeddingsOptions& options);
  void reset_parameters();
  Embedded forward(const at::Tensor& tokens, const at::Tensor& offsets,
                   const at::Tensor& segments = {});
  const EmbeddingsOptions& options() const { return options_; }

  // kTokens and kConvolution: [v, c]; kNgrams: undefined. What a tied output layer uses.
  at::Tensor token_table() const;

 private:
  EmbeddingsOptions options_;
  at::Tensor tokens_, ngram_table_, positions_, segments_;
  torch::nn::Linear convolution_{nullptr};
  torch::nn::LayerNorm norm_{nullptr};
};
TORCH_MODULE(Embeddings);

}  // namespace lowrank::nn
