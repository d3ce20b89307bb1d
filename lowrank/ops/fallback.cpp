// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/fallback.h"

#include <ATen/ATen.h>

#include "lowrank/ops/derivative.h"
#include "lowrank/ops/linformer_saved.h"
#include "lowrank/ops/nystrom_saved.h"
#include "lowrank/ops/reference.h"
#include "lowrank/ops/tasks.h"

namespace lowrank::fallback {
namespace {

// formula(inputs) in the compute dtype, rounded to that of the first input.
Tensor evaluate(const Formula& formula, const Tensors& inputs) {
  Tensors wide;
  for (const Tensor& x : inputs) wide.push_back(x.to(compute_dtype(x)));
  return formula(wide).to(inputs[0].scalar_type());
}

Formula exact_formula(const Tensor& offsets, const Tensor& offsets_k, double scale) {
  return [=](const Tensors& x) {
    return reference::exact_attention(x[0], x[1], x[2], offsets, scale, offsets_k);
  };
}

Formula nystrom_formula(const Tensor& offsets, const Tensor& offsets_k, int64_t landmarks,
                        int64_t exact_up_to, int64_t inverse_steps, double scale) {
  const NystromOptions options{.landmarks = landmarks,
                               .exact_up_to = exact_up_to,
                               .inverse_steps = inverse_steps,
                               .scale = scale};
  return [=](const Tensors& x) {
    return reference::nystrom_attention(x[0], x[1], x[2], offsets, options, x[3], offsets_k);
  };
}

Formula linformer_formula(const Tensor& offsets, const Tensor& offsets_k, double scale) {
  return [=](const Tensors& x) {
    return reference::linformer_attention(x[0], x[1], x[2], x[3], x[4], offsets, scale, offsets_k);
  };
}

Formula project_formula(const Tensor& offsets) {
  return [=](const Tensors& x) { return reference::project_sequences(x[0], x[1], offsets); };
}

}  // namespace

std::tuple<Tensor, Tensor> exact_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                           const Tensor& offsets, const Tensor& offsets_k,
                                           double scale) {
  const at::ScalarType dtype = compute_dtype(q);
  return {evaluate(exact_formula(offsets, offsets_k, scale), {q, k, v}),
          reference::exact_logsumexp(q.to(dtype), k.to(dtype), offsets, scale, offsets_k)};
}

std::tuple<Tensor, Tensor, Tensor> exact_attention_backward(const Tensor& gradient, const Tensor& q,
                                                            const Tensor& k, const Tensor& v,
                                                            const Tensor&, const Tensor&,
                                                            const Tensor& offsets,
                                                            const Tensor& offsets_k, double scale) {
  const Tensors g = gradients(exact_formula(offsets, offsets_k, scale), {q, k, v}, gradient);
  return {g[0], g[1], g[2]};
}

std::tuple<Tensor, Tensor> nystrom_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                             const Tensor& filter, const Tensor& offsets,
                                             const Tensor& offsets_k, int64_t landmarks,
                                             int64_t exact_up_to, int64_t inverse_steps,
                                             double scale, bool save) {
  return {
      evaluate(nystrom_formula(offsets, offsets_k, landmarks, exact_up_to, inverse_steps, scale),
               {q, k, v, filter}),
      save ? nystrom_saved_like(q, k, offsets, landmarks).zero_() : Tensor()};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> nystrom_attention_backward(
    const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& filter,
    const Tensor& /*saved*/, const Tensor& offsets, const Tensor& offsets_k, int64_t landmarks,
    int64_t exact_up_to, int64_t inverse_steps, double scale) {
  const Tensors g =
      gradients(nystrom_formula(offsets, offsets_k, landmarks, exact_up_to, inverse_steps, scale),
                {q, k, v, filter}, gradient);
  return {g[0], g[1], g[2], g[3]};
}

std::tuple<Tensor, Tensor> linformer_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                               const Tensor& e, const Tensor& f,
                                               const Tensor& offsets, const Tensor& offsets_k,
                                               double scale, bool save) {
  return {evaluate(linformer_formula(offsets, offsets_k, scale), {q, k, v, e, f}),
          save ? linformer_saved_like(q, k, e, offsets).zero_() : Tensor()};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> linformer_attention_backward(
    const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
    const Tensor& f, const Tensor& /*saved*/, const Tensor& offsets, const Tensor& offsets_k,
    double scale) {
  const Tensors g =
      gradients(linformer_formula(offsets, offsets_k, scale), {q, k, v, e, f}, gradient);
  return {g[0], g[1], g[2], g[3], g[4]};
}

Tensor project_sequences(const Tensor& x, const Tensor& e, const Tensor& offsets) {
  return evaluate(project_formula(offsets), {x, e});
}

std::tuple<Tensor, Tensor> project_sequences_backward(const Tensor& gradient, const Tensor& x,
                                                      const Tensor& e, const Tensor& offsets) {
  const Tensors g = gradients(project_formula(offsets), {x, e}, gradient);
  return {g[0], g[1]};
}

Tensor segment_means(const Tensor& x, const Tensor& offsets, int64_t landmarks) {
  const auto formula = [&](const Tensors& inputs) {
    return reference::segment_means(inputs[0], offsets, landmarks);
  };
  return evaluate(formula, {x});
}

Tensor segment_means_backward(const Tensor& gradient, const Tensor& offsets, int64_t total) {
  std::vector<int64_t> sizes = {total};
  sizes.insert(sizes.end(), gradient.sizes().begin() + 2, gradient.sizes().end());
  const auto formula = [&](const Tensors& inputs) {
    return reference::segment_means(inputs[0], offsets, gradient.size(1));
  };
  return gradients(formula, {at::zeros(sizes, gradient.options())}, gradient)[0];
}

Tensor pseudo_inverse(const Tensor& a, int64_t steps) {
  return evaluate([&](const Tensors& x) { return reference::pseudo_inverse(x[0], steps); }, {a});
}

Tensor pseudo_inverse_backward(const Tensor& gradient, const Tensor& a, int64_t steps) {
  const auto formula = [&](const Tensors& x) { return reference::pseudo_inverse(x[0], steps); };
  return gradients(formula, {a}, gradient)[0];
}

}  // namespace lowrank::fallback
