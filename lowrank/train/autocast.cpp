// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/autocast.h"

#include <ATen/autocast_mode.h>

namespace lowrank::train {

Autocast::Autocast(at::Device device, Precision precision)
    : device_(device.type()), on_(precision == Precision::kBfloat16) {
  if (!on_) return;
  at::autocast::set_autocast_dtype(device_, at::kBFloat16);
  at::autocast::set_autocast_enabled(device_, true);
}

Autocast::~Autocast() {
  if (!on_) return;
  at::autocast::set_autocast_enabled(device_, false);
  at::autocast::clear_cache();  // it holds the parameters of this step in bfloat16
}

}  // namespace lowrank::train
