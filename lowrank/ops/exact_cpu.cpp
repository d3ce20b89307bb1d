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

// The offsets of sequences that lie one behind the other, and the rows at which they lie now.
Tensor offsets_of(const std::vector<Rows>& sequences) {
  std::vector<int64_t> offsets = {0};
  for (const Rows& rows : sequences) offsets.push_back(offsets.back() + rows.count);
  return at::tensor(offsets, at::kLong);
}
Tensor rows_of(const std::vector<Rows>& sequences) {
  std::vector<Tensor> all;
  for (const Rows& rows : sequences) all.push_back(at::arange(rows.begin, rows.begin + rows.count));
  return at::cat(all);
}

// Some sequences of a batch as a batch of their own.
class Part {
 public:
  Part(const std::vector<Rows>& queries, const std::vector<Rows>& keys)
      : offsets(offsets_of(queries)),
        offsets_k(offsets_of(keys)),
        query_rows_(rows_of(queries)),
        key_rows_(rows_of(keys)) {}

  // The part's rows of a tensor of the whole batch, and back.
  Tensor queries_of(const Tensor& x) const { return x.index_select(0, query_rows_); }
  Tensor keys_of(const Tensor& x) const { return x.index_select(0, key_rows_); }
  void store_queries(const Tensor& values, Tensor* x) const {
    x->index_copy_(0, query_rows_, values);
  }
  void store_keys(const Tensor& values, Tensor* x) const { x->index_copy_(0, key_rows_, values); }

  const Tensor offsets, offsets_k;

 private:
  const Tensor query_rows_, key_rows_;
};

// The sequences of few keys and the others, each with its queries and keys. Most batches have only
// one of the two, and need no Part.
class Split {
 public:
  Split(const Tensor& offsets, const Tensor& offsets_k) {
    const std::vector<Rows> queries = read_offsets(offsets), keys = read_offsets(offsets_k);
    for (size_t i = 0; i < queries.size(); ++i) {
      const size_t way = keys[i].count <= kFewKeys ? 0 : 1;
      queries_[way].push_back(queries[i]);
      keys_[way].push_back(keys[i]);
    }
  }
  bool all_many() const { return queries_[0].empty(); }
  bool all_few() const { return queries_[1].empty(); }
  Part few() const { return {queries_[0], keys_[0]}; }
  Part many() const { return {queries_[1], keys_[1]}; }

 private:
  std::vector<Rows> queries_[2], keys_[2];
};

}  // namespace

std::tuple<Tensor, Tensor> exact_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                           const Tensor& offsets, const Tensor& offsets_k,
                                           double scale) {
  const Split split(offsets, offsets_k);
  if (split.all_many()) return libtorch::exact_attention(q, k, v, offsets, offsets_k, scale);
  // Zeros for the rows whose backward does not read it.
  Tensor logsumexp = at::zeros({q.size(0), q.size(1)}, q.options().dtype(compute_dtype(q)));
  if (split.all_few()) return {attend(q, k, v, offsets, offsets_k, scale), logsumexp};
  const Part few = split.few(), many = split.many();
  Tensor out = at::empty(q.sizes(), q.options());
  few.store_queries(
      attend(few.queries_of(q), few.keys_of(k), few.keys_of(v), few.offsets, few.offsets_k, scale),
      &out);
  const auto [out_many, logsumexp_many] = libtorch::exact_attention(
      many.queries_of(q), many.keys_of(k), many.keys_of(v), many.offsets, many.offsets_k, scale);
  many.store_queries(out_many, &out);
  many.store_queries(logsumexp_many, &logsumexp);
  return {out, logsumexp};
}

Three exact_attention_backward(const Tensor& gradient, const Tensor& q, const Tensor& k,
                               const Tensor& v, const Tensor& out, const Tensor& logsumexp,
                               const Tensor& offsets, const Tensor& offsets_k, double scale) {
  const Split split(offsets, offsets_k);
  if (split.all_many()) {
    return libtorch::exact_attention_backward(gradient, q, k, v, out, logsumexp, offsets, offsets_k,
                                              scale);
  }
  if (split.all_few()) return differentiate(gradient, q, k, v, offsets, offsets_k, scale);
  const Part few = split.few(), many = split.many();
  Tensor grad_q = at::empty(q.sizes(), q.options());
  Tensor grad_k = at::empty(k.sizes(), k.options());
  Tensor grad_v = at::empty(v.sizes(), v.options());
  const auto store = [&](const Part& part, const Three& gradients) {
    part.store_queries(std::get<0>(gradients), &grad_q);
    part.store_keys(std::get<1>(gradients), &grad_k);
    part.store_keys(std::get<2>(gradients), &grad_v);
  };
  store(few, differentiate(few.queries_of(gradient), few.queries_of(q), few.keys_of(k),
                           few.keys_of(v), few.offsets, few.offsets_k, scale));
  store(many, libtorch::exact_attention_backward(many.queries_of(gradient), many.queries_of(q),
                                                 many.keys_of(k), many.keys_of(v),
                                                 many.queries_of(out), many.queries_of(logsumexp),
                                                 many.offsets, many.offsets_k, scale));
  return {grad_q, grad_k, grad_v};
}

}  // namespace lowrank::cpu
