// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/nystrom.h"

#include <torch/library.h>

#include "lowrank/ops/checks.h"
#include "lowrank/ops/derivative.h"
#include "lowrank/ops/dispatcher.h"
#include "lowrank/ops/implementations.h"
#include "lowrank/ops/nystrom_saved.h"
#include "lowrank/ops/padding.h"
#include "lowrank/ops/reference.h"

namespace lowrank {
namespace {

using at::Tensor;
using Scale = std::optional<double>;
using Two = std::tuple<Tensor, Tensor>;
using Four = std::tuple<Tensor, Tensor, Tensor, Tensor>;

constexpr const char* kOp = "lowrank::nystrom_attention";
constexpr const char* kPaddedOp = "lowrank::padded_nystrom_attention";

Tensor call(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
            const OptionalTensor& filter, const OptionalTensor& offsets_k, int64_t landmarks,
            int64_t exact_up_to, int64_t inverse_steps, Scale scale, bool causal) {
  static const auto op = find_op<decltype(call)>(kOp);
  return op.call(q, k, v, offsets, filter, offsets_k, landmarks, exact_up_to, inverse_steps, scale,
                 causal);
}

Two call_and_save(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                  const OptionalTensor& filter, const OptionalTensor& offsets_k, int64_t landmarks,
                  int64_t exact_up_to, int64_t inverse_steps, Scale scale) {
  static const auto op = find_op<decltype(call_and_save)>("lowrank::_nystrom_attention");
  return op.call(q, k, v, offsets, filter, offsets_k, landmarks, exact_up_to, inverse_steps, scale);
}

Four call_backward(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
                   const Tensor& filter, const OptionalTensor& saved, const Tensor& offsets,
                   const OptionalTensor& offsets_k, int64_t landmarks, int64_t exact_up_to,
                   int64_t inverse_steps, Scale scale) {
  static const auto op = find_op<decltype(call_backward)>("lowrank::_nystrom_attention_backward");
  return op.call(gradient, q, k, v, filter, saved, offsets, offsets_k, landmarks, exact_up_to,
                 inverse_steps, scale);
}

Tensor call_padded(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& mask,
                   const OptionalTensor& filter, int64_t landmarks, int64_t exact_up_to,
                   int64_t inverse_steps, Scale scale, bool causal) {
  static const auto op = find_op<decltype(call_padded)>(kPaddedOp);
  return op.call(q, k, v, mask, filter, landmarks, exact_up_to, inverse_steps, scale, causal);
}

Four call_padded_backward(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
                          const Tensor& filter, const OptionalTensor& mask, int64_t landmarks,
                          int64_t exact_up_to, int64_t inverse_steps, Scale scale) {
  static const auto op =
      find_op<decltype(call_padded_backward)>("lowrank::_padded_nystrom_attention_backward");
  return op.call(gradient, q, k, v, filter, mask, landmarks, exact_up_to, inverse_steps, scale);
}

// The implementations and the backward op take a filter without taps for none. Before the checks
// have run, q may have any rank.
Tensor filter_or_no_taps(const OptionalTensor& filter, const Tensor& q) {
  if (filter) return *filter;
  return at::empty_symint({q.dim() > 1 ? q.sym_size(1) : 0, 0}, q.options());
}

void check_options(const char* op, int64_t landmarks, int64_t exact_up_to, int64_t inverse_steps,
                   bool causal) {
  check_not_causal(op, causal);
  check_range(op, "landmarks", landmarks, 1, 4096);
  check_range(op, "exact_up_to", exact_up_to, 0, NystromOptions::kMostExact);
  check_range(op, "inverse_steps", inverse_steps, 1, 32);
}

Two run(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
        const OptionalTensor& filter, const OptionalTensor& offsets_k, int64_t landmarks,
        int64_t exact_up_to, int64_t inverse_steps, Scale scale, bool save) {
  check_options(kOp, landmarks, exact_up_to, inverse_steps, /*causal=*/false);
  check_ragged(kOp, q, k, v, offsets, undefined_or(offsets_k));
  check_filter(kOp, undefined_or(filter), q);
  TORCH_CHECK_VALUE(!(filter && offsets_k), kOp,
                    ": a filter was given with offsets_k; the convolution of v has no place in "
                    "cross-attention. Pass no filter.");
  return choose(nystrom_implementations(), q)
      .forward(q, k, v, filter_or_no_taps(filter, q), offsets, offsets_k.value_or(offsets),
               landmarks, exact_up_to, inverse_steps, scale_or_default(scale, q), save);
}

Tensor forward(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
               const OptionalTensor& filter, const OptionalTensor& offsets_k, int64_t landmarks,
               int64_t exact_up_to, int64_t inverse_steps, Scale scale, bool causal) {
  check_not_causal(kOp, causal);
  return std::get<0>(run(q, k, v, offsets, filter, offsets_k, landmarks, exact_up_to, inverse_steps,
                         scale, /*save=*/false));
}

Two forward_and_save(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                     const OptionalTensor& filter, const OptionalTensor& offsets_k,
                     int64_t landmarks, int64_t exact_up_to, int64_t inverse_steps, Scale scale) {
  return run(q, k, v, offsets, filter, offsets_k, landmarks, exact_up_to, inverse_steps, scale,
             /*save=*/true);
}

Four backward(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
              const Tensor& filter, const OptionalTensor& saved, const Tensor& offsets,
              const OptionalTensor& offsets_k, int64_t landmarks, int64_t exact_up_to,
              int64_t inverse_steps, Scale scale) {
  return choose(nystrom_implementations(), q)
      .backward(gradient, q, k, v, filter, undefined_or(saved), offsets,
                offsets_k.value_or(offsets), landmarks, exact_up_to, inverse_steps,
                scale_or_default(scale, q));
}

Tensor padded(const Tensor& q, const Tensor& k, const Tensor& v, const OptionalTensor& mask,
              const OptionalTensor& filter, int64_t landmarks, int64_t exact_up_to,
              int64_t inverse_steps, Scale scale, bool causal) {
  check_options(kPaddedOp, landmarks, exact_up_to, inverse_steps, causal);
  check_padded(kPaddedOp, q, k, v, undefined_or(mask));
  check_filter(kPaddedOp, undefined_or(filter), q);
  const Packing p = packing(undefined_or(mask), q);
  const Tensor out = call(pack(p, q), pack(p, k), pack(p, v), p.offsets, filter, {}, landmarks,
                          exact_up_to, inverse_steps, scale, causal);
  return unpack(p, out, q);
}

Four padded_backward(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
                     const Tensor& filter, const OptionalTensor& mask, int64_t landmarks,
                     int64_t exact_up_to, int64_t inverse_steps, Scale scale) {
  const Packing p = packing(undefined_or(mask), q);
  const auto [grad_q, grad_k, grad_v, grad_filter] =
      call_backward(pack(p, gradient), pack(p, q), pack(p, k), pack(p, v), filter, {}, p.offsets,
                    {}, landmarks, exact_up_to, inverse_steps, scale);
  return {unpack(p, grad_q, q), unpack(p, grad_k, k), unpack(p, grad_v, v), grad_filter};
}

Tensor meta(const Tensor& q, const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&,
            const OptionalTensor&, int64_t landmarks, int64_t exact_up_to, int64_t inverse_steps,
            Scale, bool causal) {
  check_options(kOp, landmarks, exact_up_to, inverse_steps, causal);
  return empty_as(q);
}

Two save_meta(const Tensor& q, const Tensor& k, const Tensor&, const Tensor& offsets,
              const OptionalTensor&, const OptionalTensor&, int64_t landmarks, int64_t, int64_t,
              Scale) {
  return {empty_as(q), nystrom_saved_like(q, k, offsets, landmarks)};
}

Four backward_meta(const Tensor&, const Tensor& q, const Tensor& k, const Tensor& v,
                   const Tensor& filter, const OptionalTensor&, const Tensor&,
                   const OptionalTensor&, int64_t, int64_t, int64_t, Scale) {
  return {empty_as(q), empty_as(k), empty_as(v), empty_as(filter)};
}

Tensor padded_meta(const Tensor& q, const Tensor&, const Tensor&, const OptionalTensor&,
                   const OptionalTensor&, int64_t landmarks, int64_t exact_up_to,
                   int64_t inverse_steps, Scale, bool causal) {
  check_options(kPaddedOp, landmarks, exact_up_to, inverse_steps, causal);
  return empty_as(q);
}

Four padded_backward_meta(const Tensor&, const Tensor& q, const Tensor& k, const Tensor& v,
                          const Tensor& filter, const OptionalTensor&, int64_t, int64_t, int64_t,
                          Scale) {
  return {empty_as(q), empty_as(k), empty_as(v), empty_as(filter)};
}

Tensors list(const Four& gradients) {
  const auto& [grad_q, grad_k, grad_v, grad_filter] = gradients;
  return {grad_q, grad_k, grad_v, grad_filter};
}

Tensor autograd(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                const OptionalTensor& filter, const OptionalTensor& offsets_k, int64_t landmarks,
                int64_t exact_up_to, int64_t inverse_steps, Scale scale, bool causal) {
  check_not_causal(kOp, causal);
  const bool convolves = filter.has_value();
  const auto record = [=](const Tensors& x) -> Tensors {
    const OptionalTensor filter_or_none = convolves ? OptionalTensor(x[3]) : std::nullopt;
    const auto [out, saved] = call_and_save(x[0], x[1], x[2], offsets, filter_or_none, offsets_k,
                                            landmarks, exact_up_to, inverse_steps, scale);
    return {out, saved};
  };
  const auto gradient = [=](const Tensors& g, const Tensors& x) {
    const Tensor& saved = x[4];  // behind the four inputs
    return list(call_backward(g[0], x[0], x[1], x[2], x[3], saved, offsets, offsets_k, landmarks,
                              exact_up_to, inverse_steps, scale));
  };
  return differentiable({q, k, v, filter_or_no_taps(filter, q)},
                        {record, gradient, /*saved_outputs=*/{1}})[0];
}

Tensor padded_autograd(const Tensor& q, const Tensor& k, const Tensor& v,
                       const OptionalTensor& mask, const OptionalTensor& filter, int64_t landmarks,
                       int64_t exact_up_to, int64_t inverse_steps, Scale scale, bool causal) {
  const bool convolves = filter.has_value();
  const auto record = [=](const Tensors& x) -> Tensors {
    const OptionalTensor filter_or_none = convolves ? OptionalTensor(x[3]) : std::nullopt;
    return {call_padded(x[0], x[1], x[2], mask, filter_or_none, landmarks, exact_up_to,
                        inverse_steps, scale, causal)};
  };
  const auto gradient = [=](const Tensors& g, const Tensors& x) {
    return list(call_padded_backward(g[0], x[0], x[1], x[2], x[3], mask, landmarks, exact_up_to,
                                     inverse_steps, scale));
  };
  return differentiable({q, k, v, filter_or_no_taps(filter, q)}, {record, gradient})[0];
}

Four backward_autograd(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
                       const Tensor& filter, const OptionalTensor& saved, const Tensor& offsets,
                       const OptionalTensor& offsets_k, int64_t landmarks, int64_t exact_up_to,
                       int64_t inverse_steps, Scale scale) {
  const auto first = [=](const Tensors& x) {
    return list(call_backward(x[0], x[1], x[2], x[3], x[4], saved, offsets, offsets_k, landmarks,
                              exact_up_to, inverse_steps, scale));
  };
  const auto formula = [=](const Tensors& x) {
    const NystromOptions options{.landmarks = landmarks,
                                 .exact_up_to = exact_up_to,
                                 .inverse_steps = inverse_steps,
                                 .scale = scale};
    return reference::nystrom_attention(x[0], x[1], x[2], offsets, options, x[3],
                                        undefined_or(offsets_k));
  };
  const Tensors g = differentiable_gradients(gradient, {q, k, v, filter}, first, formula);
  return {g[0], g[1], g[2], g[3]};
}

Four padded_backward_autograd(const Tensor& gradient, const Tensor& q, const Tensor& k,
                              const Tensor& v, const Tensor& filter, const OptionalTensor& mask,
                              int64_t landmarks, int64_t exact_up_to, int64_t inverse_steps,
                              Scale scale) {
  const auto first = [=](const Tensors& x) {
    return list(call_padded_backward(x[0], x[1], x[2], x[3], x[4], mask, landmarks, exact_up_to,
                                     inverse_steps, scale));
  };
  const auto formula = [=](const Tensors& x) {
    const NystromOptions options{.landmarks = landmarks,
                                 .exact_up_to = exact_up_to,
                                 .inverse_steps = inverse_steps,
                                 .scale = scale};
    const Packing p = packing(undefined_or(mask), x[0]);
    return unpack(p,
                  reference::nystrom_attention(pack(p, x[0]), pack(p, x[1]), pack(p, x[2]),
                                               p.offsets, options, x[3]),
                  x[0]);
  };
  const Tensors g = differentiable_gradients(gradient, {q, k, v, filter}, first, formula);
  return {g[0], g[1], g[2], g[3]};
}

Tensor autocast(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                const OptionalTensor& filter, const OptionalTensor& offsets_k, int64_t landmarks,
                int64_t exact_up_to, int64_t inverse_steps, Scale scale, bool causal) {
  const Autocast to(q);
  return call(to.cast(q), to.cast(k), to.cast(v), offsets, to.cast(filter), offsets_k, landmarks,
              exact_up_to, inverse_steps, scale, causal);
}

Tensor padded_autocast(const Tensor& q, const Tensor& k, const Tensor& v,
                       const OptionalTensor& mask, const OptionalTensor& filter, int64_t landmarks,
                       int64_t exact_up_to, int64_t inverse_steps, Scale scale, bool causal) {
  const Autocast to(q);
  return call_padded(to.cast(q), to.cast(k), to.cast(v), mask, to.cast(filter), landmarks,
                     exact_up_to, inverse_steps, scale, causal);
}

void implement_kernels(torch::Library& m) {
  m.impl("nystrom_attention", forward);
  m.impl("_nystrom_attention", forward_and_save);
  m.impl("_nystrom_attention_backward", backward);
  m.impl("padded_nystrom_attention", padded);
  m.impl("_padded_nystrom_attention_backward", padded_backward);
}

void implement_autocast(torch::Library& m) {
  m.impl("nystrom_attention", autocast);
  m.impl("padded_nystrom_attention", padded_autocast);
}

}  // namespace

Tensor nystrom_saved_like(const Tensor& q, const Tensor& k, const Tensor& offsets,
                          int64_t landmarks) {
  const c10::SymInt sequences = offsets.sym_size(0) - 1;
  const c10::SymInt slots = sequences.min(k.sym_size(0) / (landmarks + 1));
  const auto dtype = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::empty_symint({slots, q.sym_size(1), landmarks, q.sym_size(2) + 2},
                          q.options().dtype(dtype));
}

TORCH_LIBRARY_IMPL(lowrank, CPU, m) { implement_kernels(m); }
TORCH_LIBRARY_IMPL(lowrank, CUDA, m) { implement_kernels(m); }
TORCH_LIBRARY_IMPL(lowrank, AutocastCPU, m) { implement_autocast(m); }
TORCH_LIBRARY_IMPL(lowrank, AutocastCUDA, m) { implement_autocast(m); }

TORCH_LIBRARY_IMPL(lowrank, Meta, m) {
  m.impl("nystrom_attention", meta);
  m.impl("_nystrom_attention", save_meta);
  m.impl("_nystrom_attention_backward", backward_meta);
  m.impl("padded_nystrom_attention", padded_meta);
  m.impl("_padded_nystrom_attention_backward", padded_backward_meta);
}

TORCH_LIBRARY_IMPL(lowrank, Autograd, m) {
  m.impl("nystrom_attention", autograd);
  m.impl("_nystrom_attention_backward", backward_autograd);
  m.impl("padded_nystrom_attention", padded_autograd);
  m.impl("_padded_nystrom_attention_backward", padded_backward_autograd);
}

Tensor nystrom_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                         const NystromOptions& options, const Tensor& filter) {
  check_conv(kOp, options.conv, filter);
  return call(q, k, v, offsets, optional(filter), {}, options.landmarks, options.exact_up_to,
              options.inverse_steps, options.scale, /*causal=*/false);
}

Tensor nystrom_cross_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                               const Tensor& offsets, const Tensor& offsets_k,
                               const NystromOptions& options) {
  check_conv(kOp, options.conv, /*filter=*/{});
  return call(q, k, v, offsets, {}, offsets_k, options.landmarks, options.exact_up_to,
              options.inverse_steps, options.scale, /*causal=*/false);
}

Tensor padded_nystrom_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                const Tensor& mask, const NystromOptions& options,
                                const Tensor& filter) {
  check_conv(kPaddedOp, options.conv, filter);
  return call_padded(q, k, v, optional(mask), optional(filter), options.landmarks,
                     options.exact_up_to, options.inverse_steps, options.scale, /*causal=*/false);
}

}  // namespace lowrank
