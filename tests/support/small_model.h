// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <memory>

#include "lowrank/models/model.h"
#include "tests/support/small_config.h"

namespace lowrank::testing {

// A model of small_config in float64 with weights drawn from `seed`. Those of queries and keys are made
// larger, for attention that differs from the mean of all.
inline std::shared_ptr<models::Model> small_model(const models::ModelConfig& config,
                                                  uint64_t seed = 17) {
  at::manual_seed(seed);
  const auto model = std::make_shared<models::Model>(config);
  model->to(at::kDouble);
  model->eval();
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->named_parameters()) {
    const std::string& name = parameter.key();
    const bool scores =
        name.find(".query.") != std::string::npos || name.find(".key.") != std::string::npos;
    if (scores) parameter->normal_(0, 0.7);
  }
  return model;
}

// One sequence of n tokens.
inline models::Inputs one_sequence(int64_t n, uint64_t seed = 3) {
  at::manual_seed(seed);
  return {at::randint(20, {n}, at::kLong), at::tensor({int64_t{0}, n}, at::kLong), {}};
}

}  // namespace lowrank::testing
