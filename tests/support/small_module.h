// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include "lowrank/models/foreign.h"

namespace lowrank::testing {

// A module of another package with weights drawn from `seed`, in evaluation mode.
inline models::ForeignModel small_module(const models::ForeignOptions& options, uint64_t seed = 1) {
  at::manual_seed(seed);
  const at::NoGradGuard no_grad;
  models::ForeignModel model = models::make_foreign(options);
  for (at::Tensor& parameter : model.module->parameters()) parameter.normal_(0, 0.3);
  model.module->eval();
  return model;
}

}  // namespace lowrank::testing
