// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <vector>

// The bridge from an op and its backward op to autograd, one for all ops.
namespace lowrank {

using Tensors = std::vector<at::Tensor>;
using Formula = std::function<at::Tensor(const Tensors& inputs)>;

struct Derivative {
  // The op's outputs, computed below autograd.
  std::function<Tensors(const Tensors& inputs)> forward;
  // The inputs' gradients. `saved` holds the inputs and then the outputs that saved_outputs names.
  std::function<Tensors(const Tensors& output_gradients, const Tensors& saved)> backward;
  std::vector<size_t> saved_outputs = {};
};

// The outputs of `derivative.forward(inputs)`, recorded for autograd.
Tensors differentiable(const Tensors& inputs, const Derivative& derivative);

// The gradients of <gradient, formula(inputs)> with respect to the inputs, by LibTorch's autograd,
// in the compute dtype and rounded to each input's own. Works inside an op's kernel.
Tensors gradients(const Formula& formula, const Tensors& inputs, const at::Tensor& gradient);

// A backward op's results, backward({gradient, inputs...}), recorded so that a second
// differentiation goes through `formula`, the plain form of the op.
Tensors differentiable_gradients(const at::Tensor& gradient, const Tensors& inputs,
                                 const std::function<Tensors(const Tensors&)>& backward,
                                 const Formula& formula);

}  // namespace lowrank
