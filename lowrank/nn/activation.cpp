// SPDX-License-Identifier: Apache-2.0
#include "lowrank/nn/activation.h"

#include <ATen/ATen.h>

namespace lowrank::nn {

at::Tensor activate(const at::Tensor& x, Activation activation) {
  switch (activation) {
    case Activation::kGelu:
      return at::gelu(x);
    case Activation::kGeluTanh:
      return at::gelu(x, "tanh");
    case Activation::kRelu:
      return at::relu(x);
    case Activation::kTanh:
      return at::tanh(x);
    case Activation::kNone:
      break;
  }
  return x;
}

}  // namespace lowrank::nn
