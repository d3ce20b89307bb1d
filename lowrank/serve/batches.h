// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "lowrank/serve/pieces.h"

namespace lowrank::serve {

// Runs a model over pieces, in batches of at most `token_budget` tokens or of a single piece. Pieces of
// like length go together; what comes back is in the order of the pieces, on the CPU, and depends neither
// on the budget nor on the other pieces, beyond the rounding of products of another size. No gradients.
//
// A piece longer than the model takes is read by a copy of it with more positions (models/derive.h,
// kInterpolate): as many as the piece needs, rounded up to the next multiple of 64. One copy is kept.
class BatchRunner {
 public:
  using Forward = std::function<at::Tensor(models::Model& model, const models::Inputs& inputs)>;
  // After each batch; may throw to give up.
  using Progress = std::function<void(int64_t tokens)>;

  explicit BatchRunner(const TextModel& model, int64_t token_budget = 16384);
  void on_progress(Progress progress) { progress_ = std::move(progress); }

  // `forward` makes [b, ...] of b sequences: [pieces, ...]; undefined where there are no pieces.
  at::Tensor run(const std::vector<const Piece*>& pieces, const Forward& forward);

  // `forward` makes a row of each token: [n, ...] for each piece.
  std::vector<at::Tensor> run_rows(const std::vector<const Piece*>& pieces, const Forward& forward);

  int64_t token_budget() const { return token_budget_; }

 private:
  using Use = std::function<void(const std::vector<size_t>& batch, const models::Inputs& inputs,
                                 const at::Tensor& output)>;
  void for_each_batch(const std::vector<const Piece*>& pieces, const Forward& forward,
                      const Use& use);
  int64_t positions_for(int64_t tokens) const;
  models::Model& model_with(int64_t positions);

  std::shared_ptr<models::Model> model_;
  int64_t max_length_;
  int64_t token_budget_;
  std::shared_ptr<models::Model> longer_;  // with more positions
  Progress progress_;
};

// Texts come one at a time and are handed on together, when there are enough of them for full batches
// of like lengths.
class PieceWindow {
 public:
  using Use = std::function<void(const std::vector<Pieces>& texts)>;
  PieceWindow(int64_t token_budget, Use use) : tokens_(32 * token_budget), use_(std::move(use)) {}
  void add(Pieces text);
  void flush();  // to be called at the end

 private:
  int64_t tokens_;  // that are enough
  Use use_;
  std::vector<Pieces> texts_;
  int64_t held_ = 0;
};

// All pieces of some texts, one after the other.
std::vector<const Piece*> all_pieces(const std::vector<Pieces>& texts);

// The mean of each text's rows, weighted by its pieces' tokens: values [pieces, ...] -> [texts, ...].
at::Tensor weighted_means(const at::Tensor& values, const std::vector<Pieces>& texts);

}  // namespace lowrank::serve
