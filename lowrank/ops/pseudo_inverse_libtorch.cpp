// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "lowrank/ops/libtorch.h"
#include "lowrank/ops/matrix.h"
#include "lowrank/ops/tasks.h"

// Each matrix of the batch is a "sequence" of its m rows, in one part.
namespace lowrank::libtorch {
namespace {

std::vector<Rows> matrices(const Tensor& a_bmm) {
  return std::vector<Rows>(static_cast<size_t>(a_bmm.size(0)), {0, a_bmm.size(1)});
}

Tensor load_matrix(const Tensor& a_bmm, size_t i) {
  return load(a_bmm.select(0, static_cast<int64_t>(i)));
}

Tensor batched(const Tensor& a) {
  const int64_t count = c10::multiply_integers(a.sizes().slice(0, a.sizes().size() - 2));
  return a.reshape({count, a.size(-2), a.size(-1)});
}

}  // namespace

Tensor pseudo_inverse(const Tensor& a, int64_t steps) {
  const Tensor a_bmm = batched(a), out = at::empty(a_bmm.sizes(), a.options());
  for_each_part(matrices(a_bmm), 1, [&](size_t i, int64_t) {
    out.select(0, static_cast<int64_t>(i))
        .copy_(inverse_steps(load_matrix(a_bmm, i), steps).back());
  });
  return out.view(a.sizes());
}

Tensor pseudo_inverse_backward(const Tensor& gradient, const Tensor& a, int64_t steps) {
  const Tensor a_bmm = batched(a), gradient_bmm = batched(gradient);
  const Tensor out = at::empty(a_bmm.sizes(), a.options());
  for_each_part(matrices(a_bmm), 1, [&](size_t i, int64_t) {
    const Tensor a_mm = load_matrix(a_bmm, i);
    const Tensor grad_a =
        inverse_gradient(a_mm, inverse_steps(a_mm, steps), load_matrix(gradient_bmm, i));
    out.select(0, static_cast<int64_t>(i)).copy_(grad_a);
  });
  return out.view(a.sizes());
}

}  // namespace lowrank::libtorch
