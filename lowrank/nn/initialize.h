// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <torch/nn/modules/linear.h>

namespace lowrank::nn {

// What every linear layer of this library starts from: weights U(-a, a), a = sqrt(6 / (in + out))
// (Glorot and Bengio 2010), bias 0.
void initialize(torch::nn::Linear& linear);

// Embedding tables [rows, c]: N(0, 1 / c), so that a row has norm 1 at any width and the logits of a
// tied output layer start with variance 1.
void initialize_table(at::Tensor& table);

}  // namespace lowrank::nn
