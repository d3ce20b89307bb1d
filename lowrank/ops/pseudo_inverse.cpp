// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/pseudo_inverse.h"

#include <torch/library.h>

#include "lowrank/ops/checks.h"
#include "lowrank/ops/derivative.h"
#include "lowrank/ops/dispatcher.h"
#include "lowrank/ops/implementations.h"
#include "lowrank/ops/reference.h"

namespace lowrank {
namespace {

using at::Tensor;

constexpr const char* kOp = "lowrank::pseudo_inverse";
constexpr const char* kResidualOp = "lowrank::pseudo_inverse_residual";

Tensor call(const Tensor& a, int64_t steps) {
  static const auto op = find_op<decltype(call)>(kOp);
  return op.call(a, steps);
}

Tensor call_backward(const Tensor& gradient, const Tensor& a, int64_t steps) {
  static const auto op = find_op<decltype(call_backward)>("lowrank::_pseudo_inverse_backward");
  return op.call(gradient, a, steps);
}

Tensor call_residual(const Tensor& a, const Tensor& z) {
  static const auto op = find_op<decltype(call_residual)>(kResidualOp);
  return op.call(a, z);
}

void check_square(const char* op, const char* name, const Tensor& a) {
  TORCH_CHECK_VALUE(a.dim() >= 2 && a.size(-1) == a.size(-2) && a.size(-1) > 0, op, ": ", name,
                    " must be square matrices [..., m, m]; got sizes ", a.sizes(), ". Reshape it.");
  check_dtype(op, name, a);
}

Tensor forward(const Tensor& a, int64_t steps) {
  check_square(kOp, "a", a);
  check_range(kOp, "steps", steps, 1, 32);
  return choose(inverse_implementations(), a).forward(a, steps);
}

Tensor backward(const Tensor& gradient, const Tensor& a, int64_t steps) {
  return choose(inverse_implementations(), a).backward(gradient, a, steps);
}

Tensor meta(const Tensor& a, int64_t) { return empty_as(a); }
Tensor backward_meta(const Tensor&, const Tensor& a, int64_t) { return empty_as(a); }

Tensor autograd(const Tensor& a, int64_t steps) {
  const auto record = [=](const Tensors& x) -> Tensors { return {call(x[0], steps)}; };
  const auto gradient = [=](const Tensors& g, const Tensors& x) -> Tensors {
    return {call_backward(g[0], x[0], steps)};
  };
  return differentiable({a}, {record, gradient})[0];
}

Tensor backward_autograd(const Tensor& gradient, const Tensor& a, int64_t steps) {
  const auto first = [=](const Tensors& x) -> Tensors {
    return {call_backward(x[0], x[1], steps)};
  };
  const auto formula = [=](const Tensors& x) { return reference::pseudo_inverse(x[0], steps); };
  return differentiable_gradients(gradient, {a}, first, formula)[0];
}

// Made of LibTorch's ops alone, so that autograd and torch.compile see through it.
Tensor residual(const Tensor& a, const Tensor& z) {
  check_square(kResidualOp, "a", a);
  check_square(kResidualOp, "z", z);
  TORCH_CHECK_VALUE(a.sizes() == z.sizes(), kResidualOp, ": a and z must have the same sizes; got ",
                    a.sizes(), " and ", z.sizes(), ". Pass z = pseudo_inverse(a).");
  const at::ScalarType dtype = a.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  const Tensor wide_a = a.to(dtype), wide_z = z.to(dtype);
  const auto norm = [](const Tensor& x) { return at::linalg_vector_norm(x, 2, {-2, -1}); };
  const Tensor size = norm(wide_a);
  const Tensor error = norm(at::matmul(at::matmul(wide_a, wide_z), wide_a) - wide_a);
  return at::where(size == 0, at::zeros_like(size), error / size);
}

void implement_kernels(torch::Library& m) {
  m.impl("pseudo_inverse", forward);
  m.impl("_pseudo_inverse_backward", backward);
}

}  // namespace

TORCH_LIBRARY_IMPL(lowrank, CPU, m) { implement_kernels(m); }
TORCH_LIBRARY_IMPL(lowrank, CUDA, m) { implement_kernels(m); }

TORCH_LIBRARY_IMPL(lowrank, CompositeImplicitAutograd, m) {
  m.impl("pseudo_inverse_residual", residual);
}

TORCH_LIBRARY_IMPL(lowrank, Meta, m) {
  m.impl("pseudo_inverse", meta);
  m.impl("_pseudo_inverse_backward", backward_meta);
}

TORCH_LIBRARY_IMPL(lowrank, Autograd, m) {
  m.impl("pseudo_inverse", autograd);
  m.impl("_pseudo_inverse_backward", backward_autograd);
}

Tensor pseudo_inverse(const Tensor& a, int64_t steps) { return call(a, steps); }

Tensor pseudo_inverse_residual(const Tensor& a, const Tensor& z) { return call_residual(a, z); }

}  // namespace lowrank
