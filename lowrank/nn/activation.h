// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

namespace lowrank::nn {

//   kGelu      x Phi(x), the erf form
//   kGeluTanh  x (1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3))) / 2     (Hendrycks and Gimpel 2016)
enum class Activation { kNone, kGelu, kGeluTanh, kRelu, kTanh };

at::Tensor activate(const at::Tensor& x, Activation activation);

}  // namespace lowrank::nn
