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
  int64_t vocabulary = 259;  // v
  int64_t width = 64;        // c
  int64_t patch = 1;         // tokens summed into one row; kTokens: sum of their vectors
  std::vector<int64_t> ngrams = {1, 3};  // kNgrams: lengths
  int64_t buckets = 16384;               // kNgrams: rows of each length's table
  Positions positions = Positions::kLearned;
  int64_t max_positions = 2048;  // rows (after patching) that positions exist for
  int64_t position_offset =
      0;                 // kLearned: place of a sequence's first row in the table of positions
  int64_t segments = 0;  // kinds of segment (sentence A, B); 0: none
  bool norm = false;     // LayerNorm after the sum
  double norm_epsilon = 1e-5;  // added to its variance
  // kTokens with patch 1: a token whose vector gets no gradient where it is read, as transformers and
  // fairseq treat their padding; -1: none.
  int64_t padding_token = -1;
  double dropout = 0;
};

// Rows of a ragged batch after embedding: a patch of p tokens is one row.
struct Embedded {
  at::Tensor x;        // [rows, c]
  at::Tensor offsets;  // [b + 1] int64, in rows: ceil(n / patch) a sequence
};

// Tokens to vectors. A row is a patch of p tokens of one sequence; its last patch may be shorter.
//
//   kTokens        row = sum of the patch's token vectors
//   kNgrams        row = sum over the patch's tokens t and the lengths g of
//                  table_g[hash(ids t-g+1 .. t)], divided by sqrt(number of terms). The idea of CANINE
//                  (arXiv:2103.06874) and of the Byte Latent Transformer (arXiv:2412.09871)
//   kConvolution   row = W [token vectors of the patch, zero past the sequence's end] + bias
//
// plus the row's position and its first token's segment (segment 0 where `segments` is undefined).
// Rows before position_offset in the table of positions are nobody's: other programs keep them for
// padding. The hash is Fibonacci's, on 64 bits, with the
// oldest id first and -1 for ids before the sequence's start:
//
//   u <- ((u xor u >> 32) + id + 1) 0x9E3779B97F4A7C15, from u = 0;   bucket = (u >> 32) buckets >> 32
//
//   tokens    [total] int64 in [0, v)   offsets [b + 1] on the CPU   segments [total] or undefined
//
// Parameters: tokens [v, c] or ngrams [lengths x buckets, c]; segments [segments, c]: N(0, 1 / c).
// positions [position_offset + max_positions, c]: N(0, 0.02^2). convolution (Linear p c x c), norm. Sinusoidal positions
// (Vaswani et al. 2017) are a buffer.
//
// Throws c10::ValueError when a sequence has more rows than max_positions (naming both numbers), and
// for a token or segment outside its table.
class EmbeddingsImpl : public torch::nn::Module {
 public:
  explicit EmbeddingsImpl(const EmbeddingsOptions& options);
  void reset_parameters();
  Embedded forward(const at::Tensor& tokens, const at::Tensor& offsets,
                   const at::Tensor& segments = {});
  const EmbeddingsOptions& options() const { return options_; }

  // The bucket of one n-gram, oldest id first: the hash above.
  static int64_t bucket(const int64_t* ids, int64_t length, int64_t buckets);

  // kTokens and kConvolution: [v, c]; kNgrams: undefined. What a tied output layer uses.
  const at::Tensor& token_table() const { return tokens_; }

 private:
  at::Tensor embed(const at::Tensor& tokens, const at::Tensor& offsets, const at::Tensor& starts);
  at::Tensor sum_ngrams(const at::Tensor& tokens, const at::Tensor& offsets,
                        const at::Tensor& starts);
  at::Tensor embed_segments(const at::Tensor& segments, const at::Tensor& starts);
  void check_positions(const at::Tensor& row_offsets) const;

  EmbeddingsOptions options_;
  at::Tensor tokens_, ngrams_, positions_, segments_;
  torch::nn::Linear convolution_{nullptr};
  torch::nn::LayerNorm norm_{nullptr};
};
TORCH_MODULE(Embeddings);

}  // namespace lowrank::nn
