// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/segment_means.h"

#include <torch/library.h>

#include "lowrank/ops/checks.h"
#include "lowrank/ops/derivative.h"
#include "lowrank/ops/dispatcher.h"
#include "lowrank/ops/implementations.h"

namespace lowrank {
namespace {

using at::Tensor;

constexpr const char* kOp = "lowrank::segment_means";

Tensor call(const Tensor& x, const Tensor& offsets, int64_t landmarks) {
  static const auto op = find_op<decltype(call)>(kOp);
  return op.call(x, offsets, landmarks);
}

Tensor call_backward(const Tensor& gradient, const Tensor& offsets, c10::SymInt total) {
  static const auto op = find_op<decltype(call_backward)>("lowrank::_segment_means_backward");
  return op.call(gradient, offsets, std::move(total));
}

Tensor forward(const Tensor& x, const Tensor& offsets, int64_t landmarks) {
  TORCH_CHECK_VALUE(x.dim() >= 1, kOp, ": x must be [total, ...]; got a scalar. Reshape it.");
  check_dtype(kOp, "x", x);
  check_range(kOp, "landmarks", landmarks, 1, 4096);
  check_offsets(kOp, "offsets", offsets, x.size(0));
  return choose(means_implementations(), x).forward(x, offsets, landmarks);
}

Tensor backward(const Tensor& gradient, const Tensor& offsets, int64_t total) {
  return choose(means_implementations(), gradient).backward(gradient, offsets, total);
}

Tensor meta(const Tensor& x, const Tensor& offsets, int64_t landmarks) {
  std::vector<c10::SymInt> sizes = {offsets.sym_size(0) - 1, landmarks};
  sizes.insert(sizes.end(), x.sym_sizes().begin() + 1, x.sym_sizes().end());
  return at::empty_symint(sizes, x.options());
}

Tensor backward_meta(const Tensor& gradient, const Tensor&, c10::SymInt total) {
  std::vector<c10::SymInt> sizes = {std::move(total)};
  sizes.insert(sizes.end(), gradient.sym_sizes().begin() + 2, gradient.sym_sizes().end());
  return at::empty_symint(sizes, gradient.options());
}

Tensor autograd(const Tensor& x, const Tensor& offsets, int64_t landmarks) {
  const auto record = [=](const Tensors& inputs) -> Tensors {
    return {call(inputs[0], offsets, landmarks)};
  };
  const auto gradient = [=](const Tensors& g, const Tensors& inputs) -> Tensors {
    return {call_backward(g[0], offsets, inputs[0].sym_size(0))};
  };
  return differentiable({x}, {record, gradient})[0];
}

// The op is linear: the derivative of its gradient is the op itself.
Tensor backward_autograd(const Tensor& gradient, const Tensor& offsets, c10::SymInt total) {
  const auto record = [=](const Tensors& inputs) -> Tensors {
    return {call_backward(inputs[0], offsets, total)};
  };
  const auto second = [=](const Tensors& g, const Tensors& inputs) -> Tensors {
    return {call(g[0], offsets, inputs[0].size(1))};
  };
  return differentiable({gradient}, {record, second})[0];
}

void implement_kernels(torch::Library& m) {
  m.impl("segment_means", forward);
  m.impl("_segment_means_backward", backward);
}

}  // namespace

TORCH_LIBRARY_IMPL(lowrank, CPU, m) { implement_kernels(m); }
TORCH_LIBRARY_IMPL(lowrank, CUDA, m) { implement_kernels(m); }

TORCH_LIBRARY_IMPL(lowrank, Meta, m) {
  m.impl("segment_means", meta);
  m.impl("_segment_means_backward", backward_meta);
}

TORCH_LIBRARY_IMPL(lowrank, Autograd, m) {
  m.impl("segment_means", autograd);
  m.impl("_segment_means_backward", backward_autograd);
}

Tensor segment_means(const Tensor& x, const Tensor& offsets, int64_t landmarks) {
  return call(x, offsets, landmarks);
}

}  // namespace lowrank
