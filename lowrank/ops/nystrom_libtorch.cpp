// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <algorithm>

#include "lowrank/ops/libtorch.h"
#include "lowrank/ops/matrix.h"
#include "lowrank/ops/nystrom_saved.h"
#include "lowrank/ops/tasks.h"

namespace lowrank::libtorch {
namespace {

// Note [Convolution as products]
// A block of kBlock outputs reads kBlock + taps - 1 values. As a product, the block is a banded
// matrix, the same for all blocks of a head, times those rows of the padded v: more multiply-adds
// than the sum over the taps, but all in one batched matmul, and its two gradients are products of
// the same shapes.
constexpr int64_t kBlock = 64;

// [kBlock, kBlock + taps - 1] with w along its diagonals, and the [kBlock, taps] view of those.
struct Band {
  Tensor matrix, diagonals;
};

Band band(int64_t taps, const at::TensorOptions& options) {
  const int64_t columns = kBlock + taps - 1;
  const Tensor matrix = at::zeros({kBlock, columns}, options);
  return {matrix, matrix.as_strided({kBlock, taps}, {columns + 1, 1})};
}

// The overlapping windows of v that the blocks read: [blocks, kBlock + taps - 1, d].
Tensor windows(const Tensor& v, int64_t taps) {
  const int64_t n = v.size(0), d = v.size(1), blocks = (n + kBlock - 1) / kBlock;
  const Tensor padded = at::zeros({blocks * kBlock + taps - 1, d}, v.options());
  padded.narrow(0, taps / 2, n).copy_(v);
  return padded.as_strided({blocks, kBlock + taps - 1, d}, {kBlock * d, d, 1});
}

// sum over t of w[t] v[i + t - taps / 2]
Tensor convolve(const Tensor& v, const Tensor& w) {
  const Tensor x = windows(v, w.size(0));
  const Band b = band(w.size(0), v.options());
  b.diagonals.copy_(w.expand({kBlock, -1}));
  const Tensor out = at::bmm(b.matrix.expand({x.size(0), -1, -1}), x);
  return out.view({-1, v.size(1)}).narrow(0, 0, v.size(0));
}

Tensor convolve_filter_gradient(const Tensor& v, const Tensor& gradient, int64_t taps) {
  const Tensor x = windows(v, taps);
  const Tensor g = at::zeros({x.size(0), kBlock, v.size(1)}, v.options());
  g.view({-1, v.size(1)}).narrow(0, 0, v.size(0)).copy_(gradient);
  Band b = band(taps, v.options());
  b.matrix.copy_(at::bmm(g, x.transpose(1, 2)).sum(0));
  return b.diagonals.sum(0);
}

bool is_exact(const Tensor& q, const Tensor& k, int64_t landmarks, int64_t exact_up_to) {
  return std::min(q.size(0), k.size(0)) <= std::max(landmarks, exact_up_to);
}

// The matrices of one head that forward and backward share, named as in nystrom.h. The scale is in
// the landmarks: qm in F's and A's place is s qm, km where it meets q is s km.
struct Head {
  Tensor qm, km;  // s * means of q, means of k
  Tensor a, b;    // [m, m], [m, n_k]
  std::vector<Tensor> z;
  Tensor bv, w;  // B v and Z (B v), [m, d]
  Tensor f;      // [n_q, m]
};

Head head_of(const Tensor& q, const Tensor& k, const Tensor& v, int64_t landmarks, int64_t steps,
             double scale) {
  Head head;
  head.qm = means(q, landmarks).mul_(scale);
  head.km = means(k, landmarks);
  head.a = probabilities(head.qm, head.km);
  head.b = probabilities(head.qm, k);
  head.z = inverse_steps(head.a, steps);
  head.bv = at::mm(head.b, v);
  head.w = at::mm(head.z.back(), head.bv);
  head.f = probabilities(q, head.km * scale);
  return head;
}

struct Gradients {
  Tensor q, k, v;
};

Gradients exact_gradients(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
                          double scale) {
  const Tensor p = probabilities(q * scale, k);
  const Tensor scores = scores_gradient(p, at::mm(gradient, v.t())).mul_(scale);
  return {at::mm(scores, k), at::mm(scores.t(), q), at::mm(p.t(), gradient)};
}

Gradients nystrom_gradients(const Tensor& gradient, const Tensor& q, const Tensor& k,
                            const Tensor& v, int64_t landmarks, int64_t steps, double scale) {
  const Head head = head_of(q, k, v, landmarks, steps, scale);
  // out = F W
  const Tensor f_scores = scores_gradient(head.f, at::mm(gradient, head.w.t()));
  const Tensor grad_w = at::mm(head.f.t(), gradient);
  Tensor grad_q = at::mm(f_scores, head.km * scale);
  Tensor grad_km = at::mm(f_scores.t(), q).mul_(scale);
  // W = Z (B v)
  const Tensor grad_a = inverse_gradient(head.a, head.z, at::mm(grad_w, head.bv.t()));
  const Tensor grad_bv = at::mm(head.z.back().t(), grad_w);
  const Tensor b_scores = scores_gradient(head.b, at::mm(grad_bv, v.t()));
  const Tensor a_scores = scores_gradient(head.a, grad_a);
  const Tensor grad_v = at::mm(head.b.t(), grad_bv);
  Tensor grad_k = at::mm(b_scores.t(), head.qm);
  const Tensor grad_qm = at::mm(b_scores, k).addmm_(a_scores, head.km).mul_(scale);
  grad_km.addmm_(a_scores.t(), head.qm);
  grad_q.add_(means_gradient(grad_qm, q.size(0)));
  grad_k.add_(means_gradient(grad_km, k.size(0)));
  return {grad_q, grad_k, grad_v};
}

}  // namespace

std::tuple<Tensor, Tensor> nystrom_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                             const Tensor& filter, const Tensor& offsets,
                                             const Tensor& offsets_k, int64_t landmarks,
                                             int64_t exact_up_to, int64_t inverse_steps,
                                             double scale, bool save) {
  Tensor out = at::zeros(q.sizes(), q.options());
  const std::vector<Rows> queries = read_offsets(offsets), keys = read_offsets(offsets_k);
  const Tensor filter_ht = filter.to(compute_dtype(q));
  for_each_part(queries, q.size(1), [&](size_t i, int64_t h) {
    if (queries[i].count == 0 || keys[i].count == 0) return;
    const Tensor q_nd = load_head(q, queries[i], h), k_nd = load_head(k, keys[i], h);
    const Tensor v_nd = load_head(v, keys[i], h);
    Tensor out_nd;
    if (is_exact(q_nd, k_nd, landmarks, exact_up_to)) {
      out_nd = at::mm(probabilities(q_nd * scale, k_nd), v_nd);
    } else {
      const Head head = head_of(q_nd, k_nd, v_nd, landmarks, inverse_steps, scale);
      out_nd = at::mm(head.f, head.w);
    }
    if (filter.size(1) > 0) out_nd.add_(convolve(v_nd, filter_ht[h]));
    store_head(out, queries[i], h, out_nd);
  });
  return {out, save ? nystrom_saved_like(q, k, offsets, landmarks).zero_() : Tensor()};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> nystrom_attention_backward(
    const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& filter,
    const Tensor& /*saved*/, const Tensor& offsets, const Tensor& offsets_k, int64_t landmarks,
    int64_t exact_up_to, int64_t inverse_steps, double scale) {
  Tensor grad_q = at::zeros(q.sizes(), q.options());
  Tensor grad_k = at::zeros(k.sizes(), k.options());
  Tensor grad_v = at::zeros(v.sizes(), v.options());
  const std::vector<Rows> queries = read_offsets(offsets), keys = read_offsets(offsets_k);
  const int64_t taps = filter.size(1);
  const Tensor filter_ht = filter.to(compute_dtype(q));
  // Each sequence's share, summed in the order of the batch at the end.
  const Tensor filter_shares =
      at::zeros({static_cast<int64_t>(queries.size()), q.size(1), taps}, filter_ht.options());
  for_each_part(queries, q.size(1), [&](size_t i, int64_t h) {
    if (queries[i].count == 0 || keys[i].count == 0) return;
    const Tensor q_nd = load_head(q, queries[i], h), k_nd = load_head(k, keys[i], h);
    const Tensor v_nd = load_head(v, keys[i], h), g_nd = load_head(gradient, queries[i], h);
    Gradients grad =
        is_exact(q_nd, k_nd, landmarks, exact_up_to)
            ? exact_gradients(g_nd, q_nd, k_nd, v_nd, scale)
            : nystrom_gradients(g_nd, q_nd, k_nd, v_nd, landmarks, inverse_steps, scale);
    if (taps > 0) {
      grad.v.add_(convolve(g_nd, filter_ht[h].flip(0)));
      filter_shares[static_cast<int64_t>(i)][h].copy_(convolve_filter_gradient(v_nd, g_nd, taps));
    }
    store_head(grad_q, queries[i], h, grad.q);
    store_head(grad_k, keys[i], h, grad.k);
    store_head(grad_v, keys[i], h, grad.v);
  });
  return {grad_q, grad_k, grad_v, filter_shares.sum(0).to(filter.scalar_type())};
}

}  // namespace lowrank::libtorch
