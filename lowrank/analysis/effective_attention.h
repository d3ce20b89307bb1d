// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lowrank/models/model.h"

namespace lowrank::analysis {

// softmax(s a b^T), [rows, columns], applied to vectors in tiles of its rows and never whole: a is
// [h, rows, d], b [h, columns, d], of any dtype; arithmetic and results are float32, or float64 for float64.
struct SoftmaxMatrix {
  at::Tensor a, b;
  double scale = 1;

  at::TensorOptions options() const;                          // of the results
  at::Tensor right(int64_t head, const at::Tensor& x) const;  // times x [columns, k]: [rows, k]
  at::Tensor left(int64_t head, const at::Tensor& x) const;   // x [k, rows] times it: [k, columns]
};

// The matrix that a layer's heads multiply v with, A [n, n], for one sequence. It is kept as the factors
// that the kind has, and applied to vectors: memory of O(n) a vector.
//
//   exact       softmax(s q k^T)                        O(n^2) time
//   nystrom     F Z B, of ops/nystrom.h                 O(n m). Exact for sequences that the kind takes exactly
//   linformer   softmax(s q (E k)^T) F                  O(n r)
//
// Row i is what token i reads, column j who reads token j. Entries of the last two may be negative, and their
// rows need not add up to one. What is no such product is told by notes(): Nystrom's convolution of v is left
// out; Linformer's conv weighs each channel by taps of its own, of which the head's mean stands here; max_pool
// takes each channel from one row of a window, and the share of the head's channels stands here.
class EffectiveAttention {
 public:
  // Of a step of Model::walk over one sequence. Throws Error for a model whose profile pads the sequence: its
  // matrix is about rows that no file has.
  explicit EffectiveAttention(const models::LayerStep& step);

  int64_t heads() const { return heads_; }
  int64_t length() const { return length_; }  // n, in rows: tokens, or patches of them

  at::Tensor rows(int64_t head, const std::vector<int64_t>& places) const;     // [places, n]
  at::Tensor columns(int64_t head, const std::vector<int64_t>& places) const;  // [places, n]
  at::Tensor left(int64_t head, const at::Tensor& x) const;                    // x [k, n] times A
  at::Tensor right(int64_t head, const at::Tensor& x) const;                   // A times x [n, k]

  std::vector<std::string> notes() const { return notes_; }

 private:
  void take_nystrom(const at::Tensor& q, const at::Tensor& k, const NystromOptions& kind,
                    double scale);
  void take_linformer(const models::LayerStep& step, const at::Tensor& x, const at::Tensor& q,
                      const LinformerOptions& kind, double scale);
  void take_windows(const nn::Attention& attention, const at::Tensor& x,
                    const LinformerOptions& kind, const at::Tensor& taps);
  at::Tensor compress_left(int64_t head, const at::Tensor& x) const;   // x [k, r] times F
  at::Tensor compress_right(int64_t head, const at::Tensor& x) const;  // F times x [n, k]

  int64_t heads_ = 0, length_ = 0;
  SoftmaxMatrix first_;                  // exact: all of A. Else F, or softmax(s q (E k)^T)
  std::optional<SoftmaxMatrix> second_;  // Nystrom: B
  at::Tensor inverse_;                   // Nystrom: Z, [h, m, m]
  at::Tensor projection_;                // Linformer, linear: F, [r, n] or [h, r, n]
  at::Tensor window_,
      weight_;  // Linformer, windows: of each row which, [n], and with what weight, [h, n]
  std::vector<std::string> notes_;
};

struct RolloutOptions {
  std::optional<int64_t> from = std::nullopt;  // the row that looks; absent: the mean of all
  std::optional<int64_t> head = std::nullopt;  // absent: the mean of the heads
};

// Attention rollout (Abnar and Zuidema 2020, arXiv:2005.00928): what a row of the last layer holds of each
// row of the first, when half of a row stays and half is read,
//
//   x (A_l / 2 + I / 2) ... (A_1 / 2 + I / 2)      [n] float64
//
// with x the unit vector of `from` or all 1 / n. From the last layer to the first, one at a time in memory: the
// model runs up to each of them anew. The layers' notes are appended. Throws Error for a row or head that is not there, and as
// EffectiveAttention does.
at::Tensor rollout(models::Model& model, const models::Inputs& sequence,
                   const RolloutOptions& options = {}, std::vector<std::string>* notes = nullptr);

// Rows or columns of one layer's A, [places, n] float64: of one head, or the mean of the heads. Notes of the
// layer are appended. Throws Error for a layer, place or head that is not there, and as EffectiveAttention does.
enum class Side { kRows, kColumns };
at::Tensor look(models::Model& model, const models::Inputs& sequence, int64_t layer,
                std::optional<int64_t> head, Side side, const std::vector<int64_t>& places,
                std::vector<std::string>* notes = nullptr);

}  // namespace lowrank::analysis
