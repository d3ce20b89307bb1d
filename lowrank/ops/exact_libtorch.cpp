// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "lowrank/ops/libtorch.h"
#include "lowrank/ops/tasks.h"

// LibTorch's own flash attention, a call for each sequence with all its heads: it spreads heads and
// blocks of queries over the threads by itself, and keeps no [n, n] matrix.
namespace lowrank::libtorch {
namespace {

// x[rows] as [1, h, n, d] in the dtype of x; a fresh copy for the reason that tasks.h gives.
Tensor load_heads(const Tensor& x, Rows rows) {
  const Tensor view = x.narrow(0, rows.begin, rows.count).transpose(0, 1);
  return at::empty(view.sizes(), x.options()).copy_(view).unsqueeze(0);
}

void store(const Tensor& x, Rows rows, const Tensor& values) {
  x.narrow(0, rows.begin, rows.count).copy_(values.squeeze(0).transpose(0, 1));
}

}  // namespace

std::tuple<Tensor, Tensor> exact_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                           const Tensor& offsets, const Tensor& offsets_k,
                                           double scale) {
  Tensor out = at::zeros(q.sizes(), q.options());
  Tensor logsumexp = at::zeros({q.size(0), q.size(1)}, q.options().dtype(compute_dtype(q)));
  const std::vector<Rows> queries = read_offsets(offsets), keys = read_offsets(offsets_k);
  for (size_t i = 0; i < queries.size(); ++i) {
    if (queries[i].count == 0 || keys[i].count == 0) continue;
    const auto [out_i, logsumexp_i] = at::_scaled_dot_product_flash_attention_for_cpu(
        load_heads(q, queries[i]), load_heads(k, keys[i]), load_heads(v, keys[i]),
        /*dropout_p=*/0.0,
        /*is_causal=*/false, /*attn_mask=*/{}, scale);
    store(out, queries[i], out_i);
    store(logsumexp, queries[i], logsumexp_i);
  }
  return {out, logsumexp};
}

std::tuple<Tensor, Tensor, Tensor> exact_attention_backward(
    const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
    const Tensor& logsumexp, const Tensor& offsets, const Tensor& offsets_k, double scale) {
  Tensor grad_q = at::zeros(q.sizes(), q.options());
  Tensor grad_k = at::zeros(k.sizes(), k.options());
  Tensor grad_v = at::zeros(v.sizes(), v.options());
  const std::vector<Rows> queries = read_offsets(offsets), keys = read_offsets(offsets_k);
  for (size_t i = 0; i < queries.size(); ++i) {
    if (queries[i].count == 0 || keys[i].count == 0) continue;
    // The backward reads the logsumexp in the layout that the forward gave: [1, h, n] over [n, h].
    const Tensor logsumexp_i = logsumexp.narrow(0, queries[i].begin, queries[i].count);
    const auto [q_i, k_i, v_i] = at::_scaled_dot_product_flash_attention_for_cpu_backward(
        load_heads(gradient, queries[i]), load_heads(q, queries[i]), load_heads(k, keys[i]),
        load_heads(v, keys[i]), load_heads(out, queries[i]), logsumexp_i.t().unsqueeze(0),
        /*dropout_p=*/0.0,
        /*is_causal=*/false, /*attn_mask=*/{}, scale);
    store(grad_q, queries[i], q_i);
    store(grad_k, keys[i], k_i);
    store(grad_v, keys[i], v_i);
  }
  return {grad_q, grad_k, grad_v};
}

}  // namespace lowrank::libtorch
