// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/linformer.h"

#include <torch/library.h>

#include "lowrank/ops/checks.h"
#include "lowrank/ops/derivative.h"
#include "lowrank/ops/dispatcher.h"
#include "lowrank/ops/implementations.h"
#include "lowrank/ops/linformer_saved.h"
#include "lowrank/ops/padding.h"
#include "lowrank/ops/reference.h"

namespace lowrank {
namespace {

using at::Tensor;
using Scale = std::optional<double>;
using Two = std::tuple<Tensor, Tensor>;
using Five = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>;

constexpr const char* kOp = "lowrank::linformer_attention";
constexpr const char* kPaddedOp = "lowrank::padded_linformer_attention";
constexpr const char* kProjectOp = "lowrank::project_sequences";
constexpr const char* kResizeOp = "lowrank::resize_projection";

Tensor call(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
            const OptionalTensor& f, const Tensor& offsets, const OptionalTensor& offsets_k,
            Scale scale, bool causal) {
  static const auto op = find_op<decltype(call)>(kOp);
  return op.call(q, k, v, e, f, offsets, offsets_k, scale, causal);
}

Two call_and_save(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
                  const Tensor& f, const Tensor& offsets, const OptionalTensor& offsets_k,
                  Scale scale) {
  static const auto op = find_op<decltype(call_and_save)>("lowrank::_linformer_attention");
  return op.call(q, k, v, e, f, offsets, offsets_k, scale);
}

Five call_backward(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
                   const Tensor& e, const Tensor& f, const OptionalTensor& saved,
                   const Tensor& offsets, const OptionalTensor& offsets_k, Scale scale) {
  static const auto op = find_op<decltype(call_backward)>("lowrank::_linformer_attention_backward");
  return op.call(gradient, q, k, v, e, f, saved, offsets, offsets_k, scale);
}

Tensor call_padded(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
                   const OptionalTensor& f, const OptionalTensor& mask, Scale scale, bool causal) {
  static const auto op = find_op<decltype(call_padded)>(kPaddedOp);
  return op.call(q, k, v, e, f, mask, scale, causal);
}

Five call_padded_backward(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
                          const Tensor& e, const Tensor& f, const OptionalTensor& mask,
                          Scale scale) {
  static const auto op =
      find_op<decltype(call_padded_backward)>("lowrank::_padded_linformer_attention_backward");
  return op.call(gradient, q, k, v, e, f, mask, scale);
}

Tensor call_project(const Tensor& x, const Tensor& e, const Tensor& offsets) {
  static const auto op = find_op<decltype(call_project)>(kProjectOp);
  return op.call(x, e, offsets);
}

Two call_project_backward(const Tensor& gradient, const Tensor& x, const Tensor& e,
                          const Tensor& offsets) {
  static const auto op =
      find_op<decltype(call_project_backward)>("lowrank::_project_sequences_backward");
  return op.call(gradient, x, e, offsets);
}

Tensor call_resize(const Tensor& e, int64_t max_length) {
  static const auto op = find_op<decltype(call_resize)>(kResizeOp);
  return op.call(e, max_length);
}

Tensors list(const Five& gradients) {
  const auto& [grad_q, grad_k, grad_v, grad_e, grad_f] = gradients;
  return {grad_q, grad_k, grad_v, grad_e, grad_f};
}

Two run(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e, const Tensor& f,
        const Tensor& offsets, const OptionalTensor& offsets_k, Scale scale, bool save) {
  check_ragged(kOp, q, k, v, offsets, undefined_or(offsets_k));
  const Tensor offsets_of_keys = offsets_k.value_or(offsets);
  check_projection(kOp, "e", e, q, offsets_of_keys, q.size(1));
  check_projection(kOp, "f", f, q, offsets_of_keys, q.size(1));
  TORCH_CHECK_VALUE(e.size(-2) == f.size(-2), kOp, ": e has ", e.size(-2), " rows and f ",
                    f.size(-2), "; projected keys and values must agree. Give f as many.");
  return choose(linformer_implementations(), q)
      .forward(q, k, v, e, f, offsets, offsets_of_keys, scale_or_default(scale, q), save);
}

Tensor forward(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
               const OptionalTensor& f, const Tensor& offsets, const OptionalTensor& offsets_k,
               Scale scale, bool causal) {
  check_not_causal(kOp, causal);
  return std::get<0>(run(q, k, v, e, f.value_or(e), offsets, offsets_k, scale, /*save=*/false));
}

Two forward_and_save(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
                     const Tensor& f, const Tensor& offsets, const OptionalTensor& offsets_k,
                     Scale scale) {
  return run(q, k, v, e, f, offsets, offsets_k, scale, /*save=*/true);
}

Five backward(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
              const Tensor& e, const Tensor& f, const OptionalTensor& saved, const Tensor& offsets,
              const OptionalTensor& offsets_k, Scale scale) {
  return choose(linformer_implementations(), q)
      .backward(gradient, q, k, v, e, f, undefined_or(saved), offsets, offsets_k.value_or(offsets),
                scale_or_default(scale, q));
}

Tensor padded(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
              const OptionalTensor& f, const OptionalTensor& mask, Scale scale, bool causal) {
  check_not_causal(kPaddedOp, causal);
  check_padded(kPaddedOp, q, k, v, undefined_or(mask));
  const Packing p = packing(undefined_or(mask), q);
  return unpack(p, call(pack(p, q), pack(p, k), pack(p, v), e, f, p.offsets, {}, scale, causal), q);
}

Five padded_backward(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
                     const Tensor& e, const Tensor& f, const OptionalTensor& mask, Scale scale) {
  const Packing p = packing(undefined_or(mask), q);
  const auto [grad_q, grad_k, grad_v, grad_e, grad_f] = call_backward(
      pack(p, gradient), pack(p, q), pack(p, k), pack(p, v), e, f, {}, p.offsets, {}, scale);
  return {unpack(p, grad_q, q), unpack(p, grad_k, k), unpack(p, grad_v, v), grad_e, grad_f};
}

Tensor project(const Tensor& x, const Tensor& e, const Tensor& offsets) {
  TORCH_CHECK_VALUE(x.dim() == 2, kProjectOp, ": x must be [total, width]; got sizes ", x.sizes(),
                    ". Reshape it.");
  check_dtype(kProjectOp, "x", x);
  check_offsets(kProjectOp, "offsets", offsets, x.size(0));
  check_projection(kProjectOp, "e", e, x, offsets, /*heads=*/std::nullopt);
  return choose(project_implementations(), x).forward(x, e, offsets);
}

Two project_backward(const Tensor& gradient, const Tensor& x, const Tensor& e,
                     const Tensor& offsets) {
  return choose(project_implementations(), x).backward(gradient, x, e, offsets);
}

// Made of LibTorch's ops alone, so that autograd and torch.compile see through it.
Tensor resize(const Tensor& e, int64_t max_length) {
  TORCH_CHECK_VALUE(e.dim() == 2 || e.dim() == 3, kResizeOp,
                    ": e must be [projected, max_length] or [heads, projected, max_length]; got ",
                    e.dim(), " dimensions. Reshape it.");
  check_dtype(kResizeOp, "e", e);
  TORCH_CHECK_VALUE(max_length >= 1 && e.size(-1) >= 1, kResizeOp, ": cannot resize ", e.size(-1),
                    " columns to ", max_length,
                    "; both must be at least 1. Choose a max_length "
                    "from 1.");
  const Tensor e_hrn = e.dim() == 2 ? e.unsqueeze(0) : e;
  const Tensor resized = at::upsample_linear1d(e_hrn, {max_length}, /*align_corners=*/false);
  const double ratio = static_cast<double>(e.size(-1)) / static_cast<double>(max_length);
  return (e.dim() == 2 ? resized.squeeze(0) : resized) * ratio;
}

Tensor meta(const Tensor& q, const Tensor&, const Tensor&, const Tensor&, const OptionalTensor&,
            const Tensor&, const OptionalTensor&, Scale, bool causal) {
  check_not_causal(kOp, causal);
  return empty_as(q);
}

Two save_meta(const Tensor& q, const Tensor& k, const Tensor&, const Tensor& e, const Tensor&,
              const Tensor& offsets, const OptionalTensor&, Scale) {
  return {empty_as(q), linformer_saved_like(q, k, e, offsets)};
}

Five backward_meta(const Tensor&, const Tensor& q, const Tensor& k, const Tensor& v,
                   const Tensor& e, const Tensor& f, const OptionalTensor&, const Tensor&,
                   const OptionalTensor&, Scale) {
  return {empty_as(q), empty_as(k), empty_as(v), empty_as(e), empty_as(f)};
}

Tensor padded_meta(const Tensor& q, const Tensor&, const Tensor&, const Tensor&,
                   const OptionalTensor&, const OptionalTensor&, Scale, bool causal) {
  check_not_causal(kPaddedOp, causal);
  return empty_as(q);
}

Five padded_backward_meta(const Tensor&, const Tensor& q, const Tensor& k, const Tensor& v,
                          const Tensor& e, const Tensor& f, const OptionalTensor&, Scale) {
  return {empty_as(q), empty_as(k), empty_as(v), empty_as(e), empty_as(f)};
}

Tensor project_meta(const Tensor& x, const Tensor& e, const Tensor& offsets) {
  return at::empty_symint({(offsets.sym_size(0) - 1) * e.sym_size(0), x.sym_size(1)}, x.options());
}

Two project_backward_meta(const Tensor&, const Tensor& x, const Tensor& e, const Tensor&) {
  return {empty_as(x), empty_as(e)};
}

// Without f, e is both inputs and gets the sum of both gradients.
Tensor autograd(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
                const OptionalTensor& f, const Tensor& offsets, const OptionalTensor& offsets_k,
                Scale scale, bool causal) {
  check_not_causal(kOp, causal);
  const auto record = [=](const Tensors& x) -> Tensors {
    const auto [out, saved] =
        call_and_save(x[0], x[1], x[2], x[3], x[4], offsets, offsets_k, scale);
    return {out, saved};
  };
  const auto gradient = [=](const Tensors& g, const Tensors& x) {
    const Tensor& saved = x[5];  // behind the five inputs
    return list(
        call_backward(g[0], x[0], x[1], x[2], x[3], x[4], saved, offsets, offsets_k, scale));
  };
  return differentiable({q, k, v, e, f.value_or(e)}, {record, gradient, /*saved_outputs=*/{1}})[0];
}

Tensor padded_autograd(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
                       const OptionalTensor& f, const OptionalTensor& mask, Scale scale,
                       bool causal) {
  const auto record = [=](const Tensors& x) -> Tensors {
    return {call_padded(x[0], x[1], x[2], x[3], x[4], mask, scale, causal)};
  };
  const auto gradient = [=](const Tensors& g, const Tensors& x) {
    return list(call_padded_backward(g[0], x[0], x[1], x[2], x[3], x[4], mask, scale));
  };
  return differentiable({q, k, v, e, f.value_or(e)}, {record, gradient})[0];
}

Five backward_autograd(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
                       const Tensor& e, const Tensor& f, const OptionalTensor& saved,
                       const Tensor& offsets, const OptionalTensor& offsets_k, Scale scale) {
  const auto first = [=](const Tensors& x) {
    return list(
        call_backward(x[0], x[1], x[2], x[3], x[4], x[5], saved, offsets, offsets_k, scale));
  };
  const auto formula = [=](const Tensors& x) {
    return reference::linformer_attention(x[0], x[1], x[2], x[3], x[4], offsets, scale,
                                          undefined_or(offsets_k));
  };
  const Tensors g = differentiable_gradients(gradient, {q, k, v, e, f}, first, formula);
  return {g[0], g[1], g[2], g[3], g[4]};
}

Five padded_backward_autograd(const Tensor& gradient, const Tensor& q, const Tensor& k,
                              const Tensor& v, const Tensor& e, const Tensor& f,
                              const OptionalTensor& mask, Scale scale) {
  const auto first = [=](const Tensors& x) {
    return list(call_padded_backward(x[0], x[1], x[2], x[3], x[4], x[5], mask, scale));
  };
  const auto formula = [=](const Tensors& x) {
    const Packing p = packing(undefined_or(mask), x[0]);
    return unpack(p,
                  reference::linformer_attention(pack(p, x[0]), pack(p, x[1]), pack(p, x[2]), x[3],
                                                 x[4], p.offsets, scale),
                  x[0]);
  };
  const Tensors g = differentiable_gradients(gradient, {q, k, v, e, f}, first, formula);
  return {g[0], g[1], g[2], g[3], g[4]};
}

Tensor project_autograd(const Tensor& x, const Tensor& e, const Tensor& offsets) {
  const auto record = [=](const Tensors& inputs) -> Tensors {
    return {call_project(inputs[0], inputs[1], offsets)};
  };
  const auto gradient = [=](const Tensors& g, const Tensors& inputs) -> Tensors {
    const auto [grad_x, grad_e] = call_project_backward(g[0], inputs[0], inputs[1], offsets);
    return {grad_x, grad_e};
  };
  return differentiable({x, e}, {record, gradient})[0];
}

Two project_backward_autograd(const Tensor& gradient, const Tensor& x, const Tensor& e,
                              const Tensor& offsets) {
  const auto first = [=](const Tensors& inputs) -> Tensors {
    const auto [grad_x, grad_e] = call_project_backward(inputs[0], inputs[1], inputs[2], offsets);
    return {grad_x, grad_e};
  };
  const auto formula = [=](const Tensors& inputs) {
    return reference::project_sequences(inputs[0], inputs[1], offsets);
  };
  const Tensors g = differentiable_gradients(gradient, {x, e}, first, formula);
  return {g[0], g[1]};
}

Tensor autocast(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
                const OptionalTensor& f, const Tensor& offsets, const OptionalTensor& offsets_k,
                Scale scale, bool causal) {
  const Autocast to(q);
  return call(to.cast(q), to.cast(k), to.cast(v), to.cast(e), to.cast(f), offsets, offsets_k, scale,
              causal);
}

Tensor padded_autocast(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
                       const OptionalTensor& f, const OptionalTensor& mask, Scale scale,
                       bool causal) {
  const Autocast to(q);
  return call_padded(to.cast(q), to.cast(k), to.cast(v), to.cast(e), to.cast(f), mask, scale,
                     causal);
}

Tensor project_autocast(const Tensor& x, const Tensor& e, const Tensor& offsets) {
  const Autocast to(x);
  return call_project(to.cast(x), to.cast(e), offsets);
}

void implement_kernels(torch::Library& m) {
  m.impl("linformer_attention", forward);
  m.impl("_linformer_attention", forward_and_save);
  m.impl("_linformer_attention_backward", backward);
  m.impl("padded_linformer_attention", padded);
  m.impl("_padded_linformer_attention_backward", padded_backward);
  m.impl("project_sequences", project);
  m.impl("_project_sequences_backward", project_backward);
}

void implement_autocast(torch::Library& m) {
  m.impl("linformer_attention", autocast);
  m.impl("padded_linformer_attention", padded_autocast);
  m.impl("project_sequences", project_autocast);
}

}  // namespace

Tensor linformer_saved_like(const Tensor& q, const Tensor& k, const Tensor& e,
                            const Tensor& offsets) {
  const c10::SymInt r = e.sym_size(-2), sequences = offsets.sym_size(0) - 1;
  const c10::SymInt slots = sequences.min(k.sym_size(0) / (r + 1));
  const auto dtype = q.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::empty_symint({slots, q.sym_size(1), 2, r, q.sym_size(2)}, q.options().dtype(dtype));
}

TORCH_LIBRARY_IMPL(lowrank, CPU, m) { implement_kernels(m); }
TORCH_LIBRARY_IMPL(lowrank, CUDA, m) { implement_kernels(m); }
TORCH_LIBRARY_IMPL(lowrank, AutocastCPU, m) { implement_autocast(m); }
TORCH_LIBRARY_IMPL(lowrank, AutocastCUDA, m) { implement_autocast(m); }
TORCH_LIBRARY_IMPL(lowrank, CompositeImplicitAutograd, m) { m.impl("resize_projection", resize); }

TORCH_LIBRARY_IMPL(lowrank, Meta, m) {
  m.impl("linformer_attention", meta);
  m.impl("_linformer_attention", save_meta);
  m.impl("_linformer_attention_backward", backward_meta);
  m.impl("padded_linformer_attention", padded_meta);
  m.impl("_padded_linformer_attention_backward", padded_backward_meta);
  m.impl("project_sequences", project_meta);
  m.impl("_project_sequences_backward", project_backward_meta);
}

TORCH_LIBRARY_IMPL(lowrank, Autograd, m) {
  m.impl("linformer_attention", autograd);
  m.impl("_linformer_attention_backward", backward_autograd);
  m.impl("padded_linformer_attention", padded_autograd);
  m.impl("_padded_linformer_attention_backward", padded_backward_autograd);
  m.impl("project_sequences", project_autograd);
  m.impl("_project_sequences_backward", project_backward_autograd);
}

Tensor linformer_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
                           const Tensor& f, const Tensor& offsets, std::optional<double> scale) {
  return call(q, k, v, e, optional(f), offsets, {}, scale, /*causal=*/false);
}

Tensor linformer_cross_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
                                 const Tensor& f, const Tensor& offsets, const Tensor& offsets_k,
                                 std::optional<double> scale) {
  return call(q, k, v, e, optional(f), offsets, offsets_k, scale, /*causal=*/false);
}

Tensor padded_linformer_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                  const Tensor& e, const Tensor& f, const Tensor& mask,
                                  std::optional<double> scale) {
  return call_padded(q, k, v, e, optional(f), optional(mask), scale, /*causal=*/false);
}

Tensor project_sequences(const Tensor& x, const Tensor& e, const Tensor& offsets) {
  return call_project(x, e, offsets);
}

Tensor resize_projection(const Tensor& e, int64_t max_length) { return call_resize(e, max_length); }

}  // namespace lowrank
