// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/inputs.h"

#include <ATen/ATen.h>

namespace lowrank::train {

at::Device device_of(const models::Model& model) { return model.parameters().front().device(); }

models::Inputs inputs_for(const models::Model& model, const data::Batch& batch) {
  const at::Device device = device_of(model);
  models::Inputs inputs{batch.tokens.to(device), batch.offsets, {}};
  const bool reads_segments = model.config().embeddings.segments > 0;
  if (reads_segments && batch.segments.defined()) inputs.segments = batch.segments.to(device);
  return inputs;
}

}  // namespace lowrank::train
