// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <string>
#include <vector>

#include "lowrank/io/safetensors.h"
#include "lowrank/models/model.h"
#include "lowrank/train/recipe.h"

namespace lowrank::train {

// Parameters that share a learning rate and a weight decay.
struct ParameterGroup {
  io::NamedTensors parameters;
  double learning_rate = 1e-3;
  double weight_decay = 0;
};

// Matrices with weight decay; biases, norms and the tables of positions and segments without; the
// tables of tokens and n-grams without and at options.embedding_learning_rate: a row of theirs gets a
// gradient only when its token occurs. Groups without parameters are left out.
std::vector<ParameterGroup> parameter_groups(const models::Model& model,
                                             const TrainOptions& options);

// Adam with decoupled weight decay (Loshchilov and Hutter 2019, arXiv:1711.05101), one fused pass
// over each parameter (at::_fused_adamw_); torch::optim::AdamW makes a dozen.
//
//   p <- p - r w p                         g gradient, r learning rate, w weight decay
//   m <- b1 m + (1 - b1) g                 v <- b2 v + (1 - b2) g g
//   p <- p - r (m / (1 - b1^t)) / (sqrt(v / (1 - b2^t)) + epsilon)
//
// A parameter without a gradient is left as it is, and its t too.
class AdamW {
 public:
  AdamW(const std::vector<ParameterGroup>& groups, std::array<double, 2> betas, double epsilon);
  // parameter_groups(model, options) with the betas and the epsilon of the options.
  AdamW(const models::Model& model, const TrainOptions& options);

  // Forgets the gradients, and their memory.
  void zero_grad();

  // The 2-norm of all gradients together; scales them down to `most` where it is larger (0: never).
  double clip(double most);

  // One step at `rate_share` of each group's learning rate.
  void step(double rate_share);

  // "exp_avg.<parameter>", "exp_avg_sq.<parameter>" and "step.<parameter>"; load_state copies such
  // tensors and throws Error, with `where` in its message, for a missing or misshapen one.
  io::NamedTensors state() const;
  void load_state(const io::NamedTensors& state, const std::string& where);

 private:
  struct Slot {
    std::string name;
    at::Tensor parameter, exp_avg, exp_avg_sq, step;
  };
  struct Group {
    std::vector<Slot> slots;
    double learning_rate, weight_decay;
  };
  std::vector<at::Tensor> gradients() const;

  std::vector<Group> groups_;
  std::array<double, 2> betas_;
  double epsilon_;
};

}  // namespace lowrank::train
