// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "lowrank/ops/libtorch.h"
#include "lowrank/ops/linformer_saved.h"
#include "lowrank/ops/matrix.h"
#include "lowrank/ops/tasks.h"

namespace lowrank::libtorch {
namespace {

// The first n columns of e [r, n_max] or [h, r, n_max] for one head, in the compute dtype.
Tensor projection(const Tensor& e, int64_t head, int64_t n) {
  const Tensor one = e.dim() == 3 ? e.select(0, head) : e;
  return one.narrow(1, 0, n).to(compute_dtype(e));
}

// Note [Gradient of E]
// E's gradient sums over the batch. Each block of its columns is one task, which adds the sequences
// in the order of the batch, so that the bits do not depend on who computes what.
constexpr int64_t kBlockColumns = 512;

// e's gradient, where sequence i's projected rows y_i = e[:, :n] x_i [r, c] got the gradients
// `grad_y` [b, r, c]; x [total, c], both cut into `groups` equal parts of columns, one for each
// matrix of e [groups, r, n_max].
Tensor projection_gradient(const Tensor& grad_y, const Tensor& x, const Tensor& e, int64_t groups,
                           const std::vector<Rows>& sequences) {
  const int64_t width = x.size(1) / groups, columns = e.size(-1);
  const Tensor grad_e =
      at::zeros({groups, e.size(-2), columns}, x.options().dtype(compute_dtype(x)));
  const int64_t blocks = (columns + kBlockColumns - 1) / kBlockColumns;
  for_each_part({{0, columns}}, groups * blocks, [&](size_t, int64_t part) {
    const int64_t group = part / blocks, begin = part % blocks * kBlockColumns;
    for (size_t i = 0; i < sequences.size(); ++i) {
      const int64_t count = std::min(kBlockColumns, sequences[i].count - begin);
      if (count <= 0) continue;
      const Tensor x_block = x.narrow(0, sequences[i].begin + begin, count);
      const Tensor y_i = grad_y.select(0, static_cast<int64_t>(i));
      const Tensor grad_block = at::mm(load(y_i.narrow(1, group * width, width)),
                                       load(x_block.narrow(1, group * width, width)).t());
      grad_e[group].narrow(1, begin, count).add_(grad_block);
    }
  });
  return grad_e.view(e.sizes()).to(e.scalar_type());
}

}  // namespace

std::tuple<Tensor, Tensor> linformer_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                               const Tensor& e, const Tensor& f,
                                               const Tensor& offsets, const Tensor& offsets_k,
                                               double scale, bool save) {
  Tensor out = at::zeros(q.sizes(), q.options());
  const std::vector<Rows> queries = read_offsets(offsets), keys = read_offsets(offsets_k);
  for_each_part(queries, q.size(1), [&](size_t i, int64_t h) {
    const int64_t n = keys[i].count;
    if (queries[i].count == 0 || n == 0) return;
    const Tensor projected_k = at::mm(projection(e, h, n), load_head(k, keys[i], h));
    const Tensor projected_v = at::mm(projection(f, h, n), load_head(v, keys[i], h));
    const Tensor p = probabilities(load_head(q, queries[i], h), projected_k * scale);
    store_head(out, queries[i], h, at::mm(p, projected_v));
  });
  return {out, save ? linformer_saved_like(q, k, e, offsets).zero_() : Tensor()};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> linformer_attention_backward(
    const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
    const Tensor& f, const Tensor& /*saved*/, const Tensor& offsets, const Tensor& offsets_k,
    double scale) {
  Tensor grad_q = at::zeros(q.sizes(), q.options());
  Tensor grad_k = at::zeros(k.sizes(), k.options());
  Tensor grad_v = at::zeros(v.sizes(), v.options());
  const std::vector<Rows> queries = read_offsets(offsets), keys = read_offsets(offsets_k);
  const int64_t b = static_cast<int64_t>(queries.size()), heads = q.size(1), d = q.size(2);
  const at::TensorOptions options = q.options().dtype(compute_dtype(q));
  // Gradients of the projected keys and values, which E's and F's are made of.
  const Tensor projected_k_brhd = at::zeros({b, e.size(-2), heads, d}, options);
  const Tensor projected_v_brhd = at::zeros({b, f.size(-2), heads, d}, options);
  for_each_part(queries, heads, [&](size_t i, int64_t h) {
    const int64_t n = keys[i].count;
    if (queries[i].count == 0 || n == 0) return;
    const Tensor q_nd = load_head(q, queries[i], h), g_nd = load_head(gradient, queries[i], h);
    const Tensor e_rn = projection(e, h, n), f_rn = projection(f, h, n);
    const Tensor projected_k = at::mm(e_rn, load_head(k, keys[i], h));
    const Tensor projected_v = at::mm(f_rn, load_head(v, keys[i], h));
    const Tensor p = probabilities(q_nd, projected_k * scale);
    const Tensor scores = scores_gradient(p, at::mm(g_nd, projected_v.t())).mul_(scale);
    const Tensor grad_projected_k = at::mm(scores.t(), q_nd);
    const Tensor grad_projected_v = at::mm(p.t(), g_nd);
    store_head(grad_q, queries[i], h, at::mm(scores, projected_k));
    store_head(grad_k, keys[i], h, at::mm(e_rn.t(), grad_projected_k));
    store_head(grad_v, keys[i], h, at::mm(f_rn.t(), grad_projected_v));
    projected_k_brhd.select(0, static_cast<int64_t>(i)).select(1, h).copy_(grad_projected_k);
    projected_v_brhd.select(0, static_cast<int64_t>(i)).select(1, h).copy_(grad_projected_v);
  });
  const Tensor grad_e = projection_gradient(projected_k_brhd.flatten(2), k.flatten(1), e,
                                            e.dim() == 3 ? heads : 1, keys);
  const Tensor grad_f = projection_gradient(projected_v_brhd.flatten(2), v.flatten(1), f,
                                            f.dim() == 3 ? heads : 1, keys);
  return {grad_q, grad_k, grad_v, grad_e, grad_f};
}

Tensor project_sequences(const Tensor& x, const Tensor& e, const Tensor& offsets) {
  const std::vector<Rows> sequences = read_offsets(offsets);
  const int64_t r = e.size(0);
  Tensor out = at::zeros({r * static_cast<int64_t>(sequences.size()), x.size(1)}, x.options());
  for_each_part(sequences, column_blocks(x), [&](size_t i, int64_t block) {
    const Rows rows{r * static_cast<int64_t>(i), r};
    const Tensor x_i = load_columns(x, sequences[i], block);
    store_columns(out, rows, block, at::mm(projection(e, 0, sequences[i].count), x_i));
  });
  return out;
}

std::tuple<Tensor, Tensor> project_sequences_backward(const Tensor& gradient, const Tensor& x,
                                                      const Tensor& e, const Tensor& offsets) {
  const std::vector<Rows> sequences = read_offsets(offsets);
  const int64_t r = e.size(0), b = static_cast<int64_t>(sequences.size());
  Tensor grad_x = at::zeros(x.sizes(), x.options());
  for_each_part(sequences, column_blocks(x), [&](size_t i, int64_t block) {
    const Rows rows{r * static_cast<int64_t>(i), r};
    const Tensor grad_y = load_columns(gradient, rows, block);
    store_columns(grad_x, sequences[i], block,
                  at::mm(projection(e, 0, sequences[i].count).t(), grad_y));
  });
  const Tensor grad_y = gradient.to(compute_dtype(x)).reshape({b, r, x.size(1)});
  return {grad_x, projection_gradient(grad_y, x, e, 1, sequences)};
}

}  // namespace lowrank::libtorch
