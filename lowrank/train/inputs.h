// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "lowrank/data/batch.h"
#include "lowrank/models/model.h"

namespace lowrank::train {

// The device that the model's parameters are on.
at::Device device_of(const models::Model& model);

// What the model reads of a batch, on its device; offsets stay on the CPU.
models::Inputs inputs_for(const models::Model& model, const data::Batch& batch);

}  // namespace lowrank::train
