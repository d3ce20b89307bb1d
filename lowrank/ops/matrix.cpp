// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/matrix.h"

#include <ATen/ATen.h>

namespace lowrank::libtorch {

Tensor probabilities(const Tensor& a, const Tensor& b) { return at::mm(a, b.t()).softmax(-1); }

Tensor scores_gradient(const Tensor& probabilities, const Tensor& gradient) {
  return at::_softmax_backward_data(gradient, probabilities, -1, probabilities.scalar_type());
}

Tensor means(const Tensor& x, int64_t m) {
  const int64_t size = x.size(0) / m, longer = x.size(0) % m;
  const int64_t border = longer * (size + 1);  // rows before it are in the longer segments
  Tensor result = at::empty({m, x.size(1)}, x.options());
  if (longer > 0) {
    result.narrow(0, 0, longer).copy_(x.narrow(0, 0, border).view({longer, size + 1, -1}).mean(1));
  }
  result.narrow(0, longer, m - longer)
      .copy_(x.narrow(0, border, x.size(0) - border).view({m - longer, size, -1}).mean(1));
  return result;
}

Tensor means_gradient(const Tensor& gradient, int64_t n) {
  const int64_t m = gradient.size(0), d = gradient.size(1);
  const int64_t size = n / m, longer = n % m, border = longer * (size + 1);
  Tensor result = at::empty({n, d}, gradient.options());
  const auto spread = [&](int64_t row, int64_t rows, int64_t segment, int64_t segments) {
    const int64_t length = rows / segments;
    result.narrow(0, row, rows)
        .view({segments, length, d})
        .copy_((gradient.narrow(0, segment, segments) / length).unsqueeze(1));
  };
  if (longer > 0) spread(0, border, 0, longer);
  spread(border, n - border, longer, m - longer);
  return result;
}

// Note [Steps of the inverse]
// One step is Z' = 1/4 Z R with X = A Z, P = 7 I - X, Q = 15 I - X P, R = 13 I - X Q. Its gradient
// is the chain rule through R, Q, P, X in turn; X, P, Q, R are recomputed from the kept Z.
namespace {

struct Step {
  Tensor x, p, q, r;
};

Step step_of(const Tensor& a, const Tensor& z, const Tensor& identity) {
  Step s;
  s.x = at::mm(a, z);
  s.p = 7 * identity - s.x;
  s.q = at::addmm(identity, s.x, s.p, /*beta=*/15, /*alpha=*/-1);
  s.r = at::addmm(identity, s.x, s.q, /*beta=*/13, /*alpha=*/-1);
  return s;
}

// |A|_1 and |A|_inf, sums of columns and of rows; a zero matrix has 1, so that Z_0 is zero too.
struct Norms {
  Tensor columns, rows;
  double one, infinity;
};

Norms norms_of(const Tensor& a) {
  const Tensor magnitude = a.abs();
  Norms norms{magnitude.sum(0), magnitude.sum(1), 0, 0};
  norms.one = norms.columns.max().item<double>();
  norms.infinity = norms.rows.max().item<double>();
  if (norms.one == 0) norms.one = norms.infinity = 1;
  return norms;
}

}  // namespace

std::vector<Tensor> inverse_steps(const Tensor& a, int64_t steps) {
  const Tensor identity = at::eye(a.size(0), a.options());
  const Norms norms = norms_of(a);
  std::vector<Tensor> z = {(a / (norms.one * norms.infinity)).t().contiguous()};
  for (int64_t i = 0; i < steps; ++i) {
    const Step s = step_of(a, z.back(), identity);
    z.push_back(at::mm(z.back(), s.r).mul_(0.25));
  }
  return z;
}

Tensor inverse_gradient(const Tensor& a, const std::vector<Tensor>& z, const Tensor& gradient) {
  const Tensor identity = at::eye(a.size(0), a.options());
  Tensor grad_a = at::zeros_like(a), grad_z = gradient;
  for (size_t i = z.size() - 1; i-- > 0;) {
    const Step s = step_of(a, z[i], identity);
    const Tensor grad_r = at::mm(z[i].t(), grad_z).mul_(0.25);
    const Tensor grad_q = at::mm(s.x.t(), grad_r).neg_();
    Tensor grad_x = at::mm(grad_r, s.q.t()).neg_();
    grad_x.addmm_(grad_q, s.p.t(), 1, -1).addmm_(s.x.t(), grad_q);
    grad_z = at::mm(grad_z, s.r.t()).mul_(0.25).addmm_(a.t(), grad_x);
    grad_a.addmm_(grad_x, z[i].t());
  }
  // Z_0 = A^T c with c = 1 / (|A|_1 |A|_inf); each norm is the sum of one column or row of |A|.
  const Norms norms = norms_of(a);
  const double c = 1 / (norms.one * norms.infinity);
  grad_a.add_(grad_z.t(), c);
  const double grad_log_c = c * grad_z.mul(a.t()).sum().item<double>();
  const Tensor sign = a.sign();
  const int64_t column = norms.columns.argmax().item<int64_t>();
  const int64_t row = norms.rows.argmax().item<int64_t>();
  grad_a.select(1, column).sub_(sign.select(1, column), grad_log_c / norms.one);
  grad_a.select(0, row).sub_(sign.select(0, row), grad_log_c / norms.infinity);
  return grad_a;
}

}  // namespace lowrank::libtorch
