// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

#include "lowrank/models/model.h"

namespace lowrank::analysis {

// What the heads of one layer compute of a sequence before they attend.
struct LayerHeads {
  int64_t layer = 0;
  at::Tensor q, k, v;  // [h, n, d] float32, or float64 of a model in float64
  double scale = 1;    // s

  // softmax(s q k^T) of one head, [n, n]: what exact attention multiplies v with. Whatever the layer's
  // kind, this is the matrix of its own q and k.
  at::Tensor matrix(int64_t head) const;
  at::Tensor exact() const;  // softmax(s q k^T) v, [h, n, d]
};

// The heads of what a step of Model::walk is about to run, for a batch of one sequence. Rows that the
// model's profile pads are left out.
LayerHeads heads_of(const models::LayerStep& step);

// Runs the model over one sequence, without gradients and in evaluation mode, and shows the heads of each
// layer on the way.
void visit_heads(models::Model& model, const models::Inputs& sequence,
                 const std::function<void(const LayerHeads&)>& visit);

}  // namespace lowrank::analysis
