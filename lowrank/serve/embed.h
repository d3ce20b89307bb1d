// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lowrank/serve/batches.h"

namespace lowrank::serve {

struct EmbedOptions {
  std::optional<models::Pooling> pooling = std::nullopt;  // absent: the model's
  bool normalize = true;                                  // vectors of length 1
  PieceOptions pieces = {.on_overflow = Overflow::kChunk};
  int64_t token_budget = 16384;  // of a batch
};

// Texts to vectors, without the model's head.
//
//   piece    v = the rows of the model's last layer, pooled       (models::Model::pool)
//   text     v = sum of w_i v_i / sum of w_i over its pieces, w_i the tokens of text in each
//            v / |v| where vectors are normalized; a vector of zeros stays
//
// A text that fits the model is one piece. Under Overflow::kChunk a longer one is several: with mean
// pooling its vector is then nearly the mean over all its tokens. Under kInterpolate it is one.
class Embedder {
 public:
  explicit Embedder(const TextModel& model, const EmbedOptions& options = {});

  int64_t width() const { return model_.model->config().width; }  // c

  // [texts, c] float32, on the CPU. Throws Error naming the first text that cannot be cut ("text 3").
  at::Tensor embed(const std::vector<std::string>& texts);

  // The same in two steps, for texts that come one by one.
  Pieces cut(const TextInput& input) const { return cutter_.cut(input); }
  at::Tensor embed(const std::vector<Pieces>& texts);

  // A vector for each piece, [pieces of all texts, c]: a passage each.
  at::Tensor embed_pieces(const std::vector<Pieces>& texts);

  void on_progress(BatchRunner::Progress progress) { runner_.on_progress(std::move(progress)); }

 private:
  at::Tensor pooled(const std::vector<Pieces>& texts);
  at::Tensor finished(const at::Tensor& vectors) const;

  TextModel model_;
  EmbedOptions options_;
  PieceCutter cutter_;
  BatchRunner runner_;
};

}  // namespace lowrank::serve
