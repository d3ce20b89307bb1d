// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/exact.h"

#include <torch/library.h>

#include "lowrank/ops/checks.h"
#include "lowrank/ops/derivative.h"
#include "lowrank/ops/dispatcher.h"
#include "lowrank/ops/implementations.h"
#include "lowrank/ops/padding.h"
#include "lowrank/ops/reference.h"

namespace lowrank {
namespace {

using at::Tensor;
using Scale = std::optional<double>;
using Two = std::tuple<Tensor, Tensor>;
using Three = std::tuple<Tensor, Tensor, Tensor>;

constexpr const char* kOp = "lowrank::exact_attention";
constexpr const char* kPaddedOp = "lowrank::padded_exact_attention";

Tensor call(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
            const OptionalTensor& offsets_k, Scale scale, bool causal) {
  static const auto op = find_op<decltype(call)>(kOp);
  return op.call(q, k, v, offsets, offsets_k, scale, causal);
}

Two call_with_logsumexp(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                        const OptionalTensor& offsets_k, Scale scale) {
  static const auto op = find_op<decltype(call_with_logsumexp)>("lowrank::_exact_attention");
  return op.call(q, k, v, offsets, offsets_k, scale);
}

Three call_backward(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
                    const Tensor& out, const Tensor& logsumexp, const Tensor& offsets,
                    const OptionalTensor& offsets_k, Scale scale) {
  static const auto op = find_op<decltype(call_backward)>("lowrank::_exact_attention_backward");
  return op.call(gradient, q, k, v, out, logsumexp, offsets, offsets_k, scale);
}

Tensor call_padded(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& mask,
                   Scale scale, bool causal) {
  static const auto op = find_op<decltype(call_padded)>(kPaddedOp);
  return op.call(q, k, v, mask, scale, causal);
}

Three call_padded_backward(const Tensor& gradient, const Tensor& q, const Tensor& k,
                           const Tensor& v, const OptionalTensor& mask, Scale scale) {
  static const auto op =
      find_op<decltype(call_padded_backward)>("lowrank::_padded_exact_attention_backward");
  return op.call(gradient, q, k, v, mask, scale);
}

Two with_logsumexp(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                   const OptionalTensor& offsets_k, Scale scale) {
  check_ragged(kOp, q, k, v, offsets, undefined_or(offsets_k));
  return choose(exact_implementations(), q)
      .forward(q, k, v, offsets, offsets_k.value_or(offsets), scale_or_default(scale, q));
}

Tensor forward(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
               const OptionalTensor& offsets_k, Scale scale, bool causal) {
  check_not_causal(kOp, causal);
  return std::get<0>(with_logsumexp(q, k, v, offsets, offsets_k, scale));
}

Three backward(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
               const Tensor& out, const Tensor& logsumexp, const Tensor& offsets,
               const OptionalTensor& offsets_k, Scale scale) {
  return choose(exact_implementations(), q)
      .backward(gradient, q, k, v, out, logsumexp, offsets, offsets_k.value_or(offsets),
                scale_or_default(scale, q));
}

Tensor padded(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& mask,
              Scale scale, bool causal) {
  check_not_causal(kPaddedOp, causal);
  check_padded(kPaddedOp, q, k, v, undefined_or(mask));
  const Packing p = packing(undefined_or(mask), q);
  return unpack(p, call(pack(p, q), pack(p, k), pack(p, v), p.offsets, {}, scale, causal), q);
}

Three padded_backward(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
                      const OptionalTensor& mask, Scale scale) {
  const Packing p = packing(undefined_or(mask), q);
  const Tensor pq = pack(p, q), pk = pack(p, k), pv = pack(p, v);
  const auto [out, logsumexp] = call_with_logsumexp(pq, pk, pv, p.offsets, {}, scale);
  const auto [grad_q, grad_k, grad_v] =
      call_backward(pack(p, gradient), pq, pk, pv, out, logsumexp, p.offsets, {}, scale);
  return {unpack(p, grad_q, q), unpack(p, grad_k, k), unpack(p, grad_v, v)};
}

Tensor meta(const Tensor& q, const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&,
            Scale, bool causal) {
  check_not_causal(kOp, causal);
  return empty_as(q);
}

Two with_logsumexp_meta(const Tensor& q, const Tensor&, const Tensor&, const Tensor&,
                        const OptionalTensor&, Scale) {
  const auto dtype = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return {empty_as(q), at::empty_symint({q.sym_size(0), q.sym_size(1)}, q.options().dtype(dtype))};
}

Three backward_meta(const Tensor&, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor&,
                    const Tensor&, const Tensor&, const OptionalTensor&, Scale) {
  return {empty_as(q), empty_as(k), empty_as(v)};
}

Tensor padded_meta(const Tensor& q, const Tensor&, const Tensor&, const OptionalTensor&, Scale,
                   bool causal) {
  check_not_causal(kPaddedOp, causal);
  return empty_as(q);
}

Three padded_backward_meta(const Tensor&, const Tensor& q, const Tensor& k, const Tensor& v,
                           const OptionalTensor&, Scale) {
  return {empty_as(q), empty_as(k), empty_as(v)};
}

Tensor autograd(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                const OptionalTensor& offsets_k, Scale scale, bool causal) {
  check_not_causal(kOp, causal);
  const auto record = [=](const Tensors& x) -> Tensors {
    const auto [out, logsumexp] = call_with_logsumexp(x[0], x[1], x[2], offsets, offsets_k, scale);
    return {out, logsumexp};
  };
  const auto gradient = [=](const Tensors& g, const Tensors& x) -> Tensors {
    const auto [grad_q, grad_k, grad_v] =
        call_backward(g[0], x[0], x[1], x[2], x[3], x[4], offsets, offsets_k, scale);
    return {grad_q, grad_k, grad_v};
  };
  return differentiable({q, k, v}, {record, gradient, /*saved_outputs=*/{0, 1}})[0];
}

Three backward_autograd(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
                        const Tensor& out, const Tensor& logsumexp, const Tensor& offsets,
                        const OptionalTensor& offsets_k, Scale scale) {
  const auto first = [=](const Tensors& x) -> Tensors {
    const auto [grad_q, grad_k, grad_v] =
        call_backward(x[0], x[1], x[2], x[3], out, logsumexp, offsets, offsets_k, scale);
    return {grad_q, grad_k, grad_v};
  };
  const auto formula = [=](const Tensors& x) {
    return reference::exact_attention(x[0], x[1], x[2], offsets, scale, undefined_or(offsets_k));
  };
  const Tensors g = differentiable_gradients(gradient, {q, k, v}, first, formula);
  return {g[0], g[1], g[2]};
}

Tensor padded_autograd(const Tensor& q, const Tensor& k, const Tensor& v,
                       const OptionalTensor& mask, Scale scale, bool causal) {
  const auto record = [=](const Tensors& x) -> Tensors {
    return {call_padded(x[0], x[1], x[2], mask, scale, causal)};
  };
  const auto gradient = [=](const Tensors& g, const Tensors& x) -> Tensors {
    const auto [grad_q, grad_k, grad_v] = call_padded_backward(g[0], x[0], x[1], x[2], mask, scale);
    return {grad_q, grad_k, grad_v};
  };
  return differentiable({q, k, v}, {record, gradient})[0];
}

Three padded_backward_autograd(const Tensor& gradient, const Tensor& q, const Tensor& k,
                               const Tensor& v, const OptionalTensor& mask, Scale scale) {
  const auto first = [=](const Tensors& x) -> Tensors {
    const auto [grad_q, grad_k, grad_v] = call_padded_backward(x[0], x[1], x[2], x[3], mask, scale);
    return {grad_q, grad_k, grad_v};
  };
  const auto formula = [=](const Tensors& x) {
    const Packing p = packing(undefined_or(mask), x[0]);
    return unpack(
        p,
        reference::exact_attention(pack(p, x[0]), pack(p, x[1]), pack(p, x[2]), p.offsets, scale),
        x[0]);
  };
  const Tensors g = differentiable_gradients(gradient, {q, k, v}, first, formula);
  return {g[0], g[1], g[2]};
}

Tensor autocast(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                const OptionalTensor& offsets_k, Scale scale, bool causal) {
  const Autocast to(q);
  return call(to.cast(q), to.cast(k), to.cast(v), offsets, offsets_k, scale, causal);
}

Tensor padded_autocast(const Tensor& q, const Tensor& k, const Tensor& v,
                       const OptionalTensor& mask, Scale scale, bool causal) {
  const Autocast to(q);
  return call_padded(to.cast(q), to.cast(k), to.cast(v), mask, scale, causal);
}

void implement_kernels(torch::Library& m) {
  m.impl("exact_attention", forward);
  m.impl("_exact_attention", with_logsumexp);
  m.impl("_exact_attention_backward", backward);
  m.impl("padded_exact_attention", padded);
  m.impl("_padded_exact_attention_backward", padded_backward);
}

void implement_autocast(torch::Library& m) {
  m.impl("exact_attention", autocast);
  m.impl("padded_exact_attention", padded_autocast);
}

}  // namespace

TORCH_LIBRARY_IMPL(lowrank, CPU, m) { implement_kernels(m); }
TORCH_LIBRARY_IMPL(lowrank, CUDA, m) { implement_kernels(m); }
TORCH_LIBRARY_IMPL(lowrank, AutocastCPU, m) { implement_autocast(m); }
TORCH_LIBRARY_IMPL(lowrank, AutocastCUDA, m) { implement_autocast(m); }

TORCH_LIBRARY_IMPL(lowrank, Meta, m) {
  m.impl("exact_attention", meta);
  m.impl("_exact_attention", with_logsumexp_meta);
  m.impl("_exact_attention_backward", backward_meta);
  m.impl("padded_exact_attention", padded_meta);
  m.impl("_padded_exact_attention_backward", padded_backward_meta);
}

TORCH_LIBRARY_IMPL(lowrank, Autograd, m) {
  m.impl("exact_attention", autograd);
  m.impl("_exact_attention_backward", backward_autograd);
  m.impl("padded_exact_attention", padded_autograd);
  m.impl("_padded_exact_attention_backward", padded_backward_autograd);
}

Tensor exact_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                       const ExactOptions& options) {
  return call(q, k, v, offsets, {}, options.scale, /*causal=*/false);
}

Tensor exact_cross_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                             const Tensor& offsets, const Tensor& offsets_k,
                             const ExactOptions& options) {
  return call(q, k, v, offsets, offsets_k, options.scale, /*causal=*/false);
}

Tensor padded_exact_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                              const ExactOptions& options) {
  return call_padded(q, k, v, optional(mask), options.scale, /*causal=*/false);
}

}  // namespace lowrank
