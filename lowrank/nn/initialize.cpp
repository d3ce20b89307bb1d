// SPDX-License-Identifier: Apache-2.0
#include "lowrank/nn/initialize.h"

#include <torch/nn/init.h>

#include <cmath>

namespace lowrank::nn {

void initialize(torch::nn::Linear& linear) {
  torch::nn::init::xavier_uniform_(linear->weight);
  if (linear->bias.defined()) torch::nn::init::zeros_(linear->bias);
}

void initialize_table(at::Tensor& table) {
  torch::nn::init::normal_(table, 0.0, 1 / std::sqrt(static_cast<double>(table.size(1))));
}

}  // namespace lowrank::nn
