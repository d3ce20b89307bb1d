// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include "lowrank/train/recipe.h"

namespace lowrank::train {

// Matrix products in bfloat16 while in scope, where the precision says so; parameters, gradients and
// sums stay float32.
class Autocast {
 public:
  Autocast(at::Device device, Precision precision);
  ~Autocast();
  Autocast(const Autocast&) = delete;
  Autocast& operator=(const Autocast&) = delete;

 private:
  at::DeviceType device_;
  bool on_;
};

}  // namespace lowrank::train
