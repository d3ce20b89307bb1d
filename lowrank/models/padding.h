// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "lowrank/models/model.h"

namespace lowrank::models {

// A ragged batch as the implementation of config.compat.profile would be given it.
struct Padded {
  Inputs inputs;    // sequences of one length; mask defined
  at::Tensor rows;  // [total] int64: where the tokens of the ragged batch are, on their device
};

// Throws c10::ValueError for a sequence longer than the profile's one length.
Padded pad(const Inputs& inputs, const ModelConfig& config);

}  // namespace lowrank::models
