// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "lowrank/models/model.h"

namespace lowrank::models {

// How near a model comes to the one that it was made from.
struct Closeness {
  int64_t sequences = 0;
  double mean_cosine = 0;   // of a sequence's pooled vector (config.pooling) to the other model's
  double least_cosine = 0;  // over the sequences
  // Of the embeddings and of each layer, as hidden_states() gives them: |x - y| / |y|, over all rows.
  std::vector<double> state_errors = {};
};

// The pooled vectors of all sequences, [sequences, c] float64, without gradients, in evaluation mode.
at::Tensor pooled_vectors(Model& model, Pooling pooling, const std::vector<Inputs>& batches);

// Runs both over the batches without gradients, both in evaluation mode. `progress` gets the share done
// and may throw to give up.
Closeness compare(Model& model, Model& reference, const std::vector<Inputs>& batches,
                  const std::function<void(double)>& progress = {});

struct ChosenAttention {
  std::vector<AttentionKind> kinds;  // one a layer
  Closeness closeness;               // of the model with all of them
  std::vector<double> alone;  // mean cosine with layer i alone replaced, by the middle candidate
};

// Picks a kind for each layer by measured error. `candidates` go from the cheapest to the most accurate;
// a layer that none of them suits keeps what it has. The layers take turns, the least harmful first: once
// with the most accurate candidate, so that as many as can be are replaced, and then each with the cheapest,
// always so that the mean cosine of the whole model stays at least `min_cosine`.
ChosenAttention choose_attention(Model& model, const std::vector<AttentionKind>& candidates,
                                 double min_cosine, const std::vector<Inputs>& batches,
                                 const std::function<void(double)>& progress = {});

}  // namespace lowrank::models
