// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "lowrank/ops/cpu.h"
#include "lowrank/ops/libtorch.h"
#include "lowrank/ops/tasks.h"

// Exact attention: sequences of few keys on our kernels, all heads of a batch in one region of
// threads, the others by LibTorch's flash attention, which takes a sequence a call.
namespace lowrank::cpu {
namespace {

using Three = std::tuple<Tensor, Tensor, Tensor>;

// The kernels' exact attention is that of Nystrom's short sequences.
constexpr int64_t kLandmarks = 1, kInverseSteps = 1;

Tensor no_taps(const Tensor& q) { return at::empty({q.size(1), 0}, q.options()); }

Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
              const Tensor& offsets_k, double scale) {
  return std::get<0>(nystrom_attention(q, k, v, no_taps(q), offsets, offsets_k, kLandmarks,
                                       kFewKeys, kInverseSteps, scale, /*save=*/false));
}

Three differentiate(const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v,
                    const Tensor& offsets, const Tensor& offsets_k, double scale) {
  const auto [grad_q, grad_k, grad_v, grad_filter] =
      nystrom_attention_backward(gradient, q, k, v, no_taps(q), /*saved=*/{}, offsets, offsets_k,
                                 kLandmarks, kFewKeys, kInverseSteps, scale);
  return {grad_q, grad_k, grad_v};
}

// Some sequences of a batch as a batch of their own.
class Part {
 public:
  void add(const Rows& queries, const Rows& keys) {
    begins_q_.push_back(begins_q_.back() + queries.count);
    begins_k_.push_back(begins_k_.back() + keys.count);
    rows_q_.push_back(at::arange(queries.begin, queries.begin + queries.count));
    rows_k_.push_back(at::arange(keys.begin, keys.begin + keys.count));
  }
  bool empty() const { return rows_q_.empty(); }
  Tensor offsets() const { return at::tensor(begins_q_, at::kLong); }
  Tensor offsets_k() const { return at::tensor(begins_k_, at::kLong); }

  // The part's rows of a tensor of the whole batch, and back.
  Tensor queries_of(const Tensor& x) const { return x.index_select(0, at::cat(rows_q_)); }
  Tensor keys_of(const Tensor& x) const { return x.index_select(0, at::cat(rows_k_)); }
  void store_queries(const Tensor& values, Tensor* x) const {
    x->index_copy_(0, at::cat(rows_q_), values);
  }
  void store_keys(const Tensor& values, Tensor* x) const {
    x->index_copy_(0, at::cat(rows_k_), values);
  }

 private:
  std::vector<int64_t> begins_q_ = {0}, begins_k_ = {0};
  std::vector<Tensor> rows_q_, rows_k_;
};

struct Parts {
  Part few, many;  // keys
};

Parts parts_of(const Tensor& offsets, const Tensor& offsets_k) {
  const std::vector<Rows> queries = read_offsets(offsets), keys = read_offsets(offsets_k);
  Parts parts;
  for (size_t i = 0; i < queries.size(); ++i) {
    (keys[i].count <= kFewKeys ? parts.few : parts.many).add(queries[i], keys[i]);
  }
  return parts;
}

}  // namespace

std::tuple<Tensor, Tensor> exact_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                           const Tensor& offsets, const Tensor& offsets_k,
                                           double scale) {
  const auto [few, many] = parts_of(offsets, offsets_k);
  if (few.empty()) return libtorch::exact_attention(q, k, v, offsets, offsets_k, scale);
  // Zeros for the rows whose backward does not read it.
  Tensor logsumexp = at::zeros({q.size(0), q.size(1)}, q.options().dtype(compute_dtype(q)));
  if (many.empty()) return {attend(q, k, v, offsets, offsets_k, scale), logsumexp};
  Tensor out = at::empty(q.sizes(), q.options());
  few.store_queries(attend(few.queries_of(q), few.keys_of(k), few.keys_of(v), few.offsets(),
                           few.offsets_k(), scale),
                    &out);
  const auto [out_many, logsumexp_many] =
      libtorch::exact_attention(many.queries_of(q), many.keys_of(k), many.keys_of(v),
                                many.offsets(), many.offsets_k(), scale);
  many.store_queries(out_many, &out);
  many.store_queries(logsumexp_many, &logsumexp);
  return {out, logsumexp};
}

Three exact_attention_backward(const Tensor& gradient, const Tensor& q, const Tensor& k,
                               const Tensor& v, const Tensor& out, const Tensor& logsumexp,
                               const Tensor& offsets, const Tensor& offsets_k, double scale) {
  const auto [few, many] = parts_of(offsets, offsets_k);
  if (few.empty()) {
    return libtorch::exact_attention_backward(gradient, q, k, v, out, logsumexp, offsets, offsets_k,
                                              scale);
  }
  if (many.empty()) return differentiate(gradient, q, k, v, offsets, offsets_k, scale);
  Tensor grad_q = at::empty(q.sizes(), q.options());
  Tensor grad_k = at::empty(k.sizes(), k.options());
  Tensor grad_v = at::empty(v.sizes(), v.options());
  const auto store = [&](const Part& part, const Three& gradients) {
    part.store_queries(std::get<0>(gradients), &grad_q);
    part.store_keys(std::get<1>(gradients), &grad_k);
    part.store_keys(std::get<2>(gradients), &grad_v);
  };
  store(few, differentiate(few.queries_of(gradient), few.queries_of(q), few.keys_of(k),
                           few.keys_of(v), few.offsets(), few.offsets_k(), scale));
  store(many, libtorch::exact_attention_backward(many.queries_of(gradient), many.queries_of(q),
                                                 many.keys_of(k), many.keys_of(v),
                                                 many.queries_of(out), many.queries_of(logsumexp),
                                                 many.offsets(), many.offsets_k(), scale));
  return {grad_q, grad_k, grad_v};
}

}  // namespace lowrank::cpu
