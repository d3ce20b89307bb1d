// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

// Pieces of the libtorch implementations on the contiguous matrices of one task, in the compute
// dtype.
namespace lowrank::libtorch {

using at::Tensor;

// softmax(a b^T) and, of its gradient, that of the scores.
Tensor probabilities(const Tensor& a, const Tensor& b);
Tensor scores_gradient(const Tensor& probabilities, const Tensor& gradient);

// The means of the m segments of x [n, d], n >= m, and the gradient of x.
Tensor means(const Tensor& x, int64_t m);
Tensor means_gradient(const Tensor& gradient, int64_t n);

// Z_0 to Z_steps of a [m, m]; and the gradient of a from that of the last.
std::vector<Tensor> inverse_steps(const Tensor& a, int64_t steps);
Tensor inverse_gradient(const Tensor& a, const std::vector<Tensor>& z, const Tensor& gradient);

}  // namespace lowrank::libtorch
