// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <algorithm>

#include "lowrank/ops/cpu.h"
#include "lowrank/ops/head_tasks.h"
#include "lowrank/ops/linformer_saved.h"
#include "lowrank/ops/tasks.h"

namespace lowrank::cpu {
namespace {

using kernels::Chunk;
using kernels::padded;

// e [r, n_max] or [h, r, n_max]: the matrix of one head.
kernels::Rows projection_of(const Tensor& e, int64_t head) {
  return {static_cast<const char*>(e.const_data_ptr()) +
              (e.dim() == 3 ? head * e.stride(0) * e.element_size() : 0),
          e.stride(-2)};
}

Tensor contiguous_rows(const Tensor& e) { return e.stride(-1) == 1 ? e : e.contiguous(); }

struct Call {
  const kernels::Table& table;
  int64_t d, r;
  float scale;
};

struct Inputs {
  kernels::Rows q, k, v, e, f, gradient = {};
  int64_t n_q, n_k;
  const float* saved = nullptr;  // E k and F v [2, r, d], from the forward
};

struct Outputs {
  kernels::WritableRows out = {}, grad_q = {}, grad_k = {}, grad_v = {};
  float *grad_projected_k = nullptr, *grad_projected_v = nullptr;  // [r, padded(d)]
  float* saved = nullptr;
};

class LinformerHead : public Head {
 public:
  LinformerHead(const Call& call, const Inputs& in, const Outputs& out)
      : call_(call), in_(in), out_(out), t_(call.table), size_(call.r * padded(call.d)) {}

  int64_t scratch_floats() const override { return t_.scratch_floats(call_.r, call_.d, 0); }

 protected:
  // E k and F v of each chunk of keys.
  void reserve_projected(int64_t chunks) {
    projected_ = Matrices(std::vector<int64_t>(2 * static_cast<size_t>(chunks), size_));
  }

  // E k and F v, the share of one chunk of keys.
  void project(int64_t task, float* scratch) {
    const auto share = 2 * static_cast<size_t>(task);
    float *projected_k = projected_[share], *projected_v = projected_[share + 1];
    std::fill_n(projected_k, size_, 0.0F);
    std::fill_n(projected_v, size_, 0.0F);
    const Chunk rows = chunk(in_.n_k, task);
    t_.project(in_.e, call_.r, in_.k, call_.d, rows, projected_k, scratch);
    t_.project(in_.f, call_.r, in_.v, call_.d, rows, projected_v, scratch);
  }

  void pack(bool backward) {
    packed_ = Matrices({t_.packed_floats(call_.r, call_.d, backward)});
    t_.pack(projected_[0], projected_[1], call_.r, call_.d, call_.scale, backward, packed_[0]);
    projected_ = Matrices();
  }

  // Adds the pairs of all chunks into the first.
  void add_shares(int64_t chunks, const Matrices& shares) const {
    for (size_t i = 2; i < 2 * static_cast<size_t>(chunks); ++i) {
      for (int64_t j = 0; j < size_; ++j) shares[i % 2][j] += shares[i][j];
    }
  }

  kernels::Packed packed() const { return {call_.r, call_.d, packed_[0]}; }

  const Call& call_;
  const Inputs in_;
  const Outputs out_;
  const kernels::Table& t_;
  const int64_t size_;
  Matrices projected_, packed_;
};

class ForwardHead : public LinformerHead {
 public:
  using LinformerHead::LinformerHead;

  int64_t phases() const override { return 4; }

  int64_t tasks(int64_t phase) const override {
    return phase == 1 ? chunks_of(in_.n_k) : phase == 3 ? chunks_of(in_.n_q) : 1;
  }

  void run(int64_t phase, int64_t task, float* scratch) override {
    switch (phase) {
      case 0:
        return reserve_projected(chunks_of(in_.n_k));
      case 1:
        return project(task, scratch);
      case 2:
        return compress();
      default:
        return t_.attend(in_.q, chunk(in_.n_q, task), packed(), {}, out_.out, scratch);
    }
  }

  void release() override { projected_ = packed_ = Matrices(); }

 private:
  void compress() {
    add_shares(chunks_of(in_.n_k), projected_);
    if (out_.saved) save();
    pack(false);
  }

  // The backward has the same bits with and without these.
  void save() const {
    for (int64_t i = 0; i < 2 * call_.r; ++i) {
      const float* row =
          projected_[static_cast<size_t>(i / call_.r)] + i % call_.r * padded(call_.d);
      std::copy_n(row, call_.d, out_.saved + i * call_.d);
    }
  }
};

class BackwardHead : public LinformerHead {
 public:
  using LinformerHead::LinformerHead;

  int64_t phases() const override { return 6; }

  int64_t tasks(int64_t phase) const override {
    const int64_t query_chunks = chunks_of(in_.n_q), key_chunks = chunks_of(in_.n_k);
    const int64_t counts[] = {1, in_.saved ? 0 : key_chunks, 1, query_chunks, 1, key_chunks};
    return counts[phase];
  }

  void run(int64_t phase, int64_t task, float* scratch) override {
    switch (phase) {
      case 0:
        return reserve_projected(in_.saved ? 1 : chunks_of(in_.n_k));
      case 1:
        return project(task, scratch);
      case 2:
        return pack_backward();
      case 3:
        return differentiate_queries(task, scratch);
      case 4:
        return add_query_shares();
      default:
        return differentiate_keys(task, scratch);
    }
  }

  void release() override { projected_ = packed_ = query_shares_ = Matrices(); }

 private:
  void pack_backward() {
    in_.saved ? restore() : add_shares(chunks_of(in_.n_k), projected_);
    pack(true);
    query_shares_ =
        Matrices(std::vector<int64_t>(2 * static_cast<size_t>(chunks_of(in_.n_q)), size_));
  }

  void restore() {
    for (int64_t i = 0; i < 2 * call_.r; ++i) {
      float* row = projected_[static_cast<size_t>(i / call_.r)] + i % call_.r * padded(call_.d);
      std::fill_n(row, padded(call_.d), 0.0F);
      std::copy_n(in_.saved + i * call_.d, call_.d, row);
    }
  }

  void differentiate_queries(int64_t task, float* scratch) {
    const auto share = 2 * static_cast<size_t>(task);
    float *grad_k = query_shares_[share], *grad_v = query_shares_[share + 1];
    std::fill_n(grad_k, size_, 0.0F);
    std::fill_n(grad_v, size_, 0.0F);
    t_.attend_backward(in_.gradient, in_.q, chunk(in_.n_q, task), packed(), out_.grad_q, grad_k,
                       grad_v, scratch);
  }

  void add_query_shares() {
    add_shares(chunks_of(in_.n_q), query_shares_);
    for (int64_t j = 0; j < size_; ++j) {
      out_.grad_projected_k[j] = query_shares_[0][j] * call_.scale;
      out_.grad_projected_v[j] = query_shares_[1][j];
    }
    query_shares_ = Matrices();
  }

  void differentiate_keys(int64_t task, float* scratch) {
    const Chunk rows = chunk(in_.n_k, task);
    t_.project_backward(in_.e, call_.r, out_.grad_projected_k, call_.d, rows, out_.grad_k, scratch);
    t_.project_backward(in_.f, call_.r, out_.grad_projected_v, call_.d, rows, out_.grad_v, scratch);
  }

  Matrices query_shares_;
};

// Note [Gradient of E]
// E's gradient sums over the batch, and over the heads that share E. Each block of its columns is
// one task, which adds the sequences and heads in their order, so that the bits do not depend on
// who computes what.
constexpr int64_t kBlockColumns = 256;

// e's gradient, where head h of sequence i has the rows x [total, h, d] and its projected rows got
// the gradients grad_y [b, h, r, padded(d)].
Tensor projection_gradient(const Tensor& grad_y, const Tensor& x, const Tensor& e,
                           const std::vector<Rows>& sequences, const kernels::Table& table) {
  const int64_t columns = e.size(-1), r = e.size(-2), heads = x.size(1), d = x.size(2);
  const int64_t matrices = e.dim() == 3 ? heads : 1;
  const int64_t blocks = (columns + kBlockColumns - 1) / kBlockColumns;
  Tensor grad_e = at::empty({matrices, r, columns}, e.options());
  const int64_t sum_floats = r * kBlockColumns, size = r * padded(d);
  const int64_t scratch_floats = sum_floats + table.scratch_floats(r, d, 0);
  for_each_task(matrices * blocks, scratch_floats, [&](int64_t i, float* scratch) {
    const int64_t matrix = i / blocks, begin = i % blocks * kBlockColumns;
    const int64_t count = std::min(kBlockColumns, columns - begin);
    const Tensor sum = at::from_blob(scratch, {r, kBlockColumns}, at::kFloat).zero_();
    for (size_t s = 0; s < sequences.size(); ++s) {
      const int64_t end = std::min(begin + kBlockColumns, sequences[s].count);
      if (end <= begin) continue;
      for (int64_t h = 0; h < heads; ++h) {
        if (matrices > 1 && h != matrix) continue;
        const int64_t share = (static_cast<int64_t>(s) * heads + h) * size;
        table.projection_gradient(grad_y.const_data_ptr<float>() + share, r,
                                  rows_of(x, sequences[s].begin, h), d, {begin, end}, scratch,
                                  kBlockColumns, scratch + sum_floats);
      }
    }
    grad_e[matrix].narrow(1, begin, count).copy_(sum.narrow(1, 0, count));
  });
  return grad_e.view(e.sizes());
}

// The place of each sequence in what the forward saves; -1 for those that are projected again.
std::vector<int64_t> slots_of(const std::vector<Rows>& keys, int64_t r) {
  std::vector<int64_t> slots;
  int64_t next = 0;
  for (const Rows& sequence : keys) slots.push_back(sequence.count > r ? next++ : -1);
  return slots;
}

// x [total, c] as heads of at most this many columns.
constexpr int64_t kColumnsPerHead = 64;

Tensor split_columns(const Tensor& x) {
  const int64_t c = x.size(1);
  int64_t width = kColumnsPerHead;
  while (c % width != 0) width -= 8;
  return x.unflatten(1, {c / width, width});
}

}  // namespace

std::tuple<Tensor, Tensor> linformer_attention(const Tensor& q_any, const Tensor& k_any,
                                               const Tensor& v_any, const Tensor& e_any,
                                               const Tensor& f_any, const Tensor& offsets,
                                               const Tensor& offsets_k, double scale, bool save) {
  const Tensor q = readable(q_any), k = readable(k_any), v = readable(v_any);
  const Tensor e = contiguous_rows(e_any), f = contiguous_rows(f_any);
  const std::vector<Rows> queries = read_offsets(offsets), keys = read_offsets(offsets_k);
  const Call call{table_for(q), q.size(2), e.size(-2), static_cast<float>(scale)};
  const std::vector<Place> heads_in_order = places(queries, keys, q.size(1));
  Tensor out = output_like(q, covers(heads_in_order, queries, q));
  const Tensor saved = save ? linformer_saved_like(q, k, e, offsets).zero_() : Tensor();
  const std::vector<int64_t> slots = slots_of(keys, call.r);
  std::vector<ForwardHead> heads;
  for (const auto& [i, h] : heads_in_order) {
    const Inputs in{.q = rows_of(q, queries[i].begin, h),
                    .k = rows_of(k, keys[i].begin, h),
                    .v = rows_of(v, keys[i].begin, h),
                    .e = projection_of(e, h),
                    .f = projection_of(f, h),
                    .n_q = queries[i].count,
                    .n_k = keys[i].count};
    heads.emplace_back(call, in,
                       Outputs{.out = writable_rows_of(out, queries[i].begin, h),
                               .saved = saved_of(saved, slots[i], h)});
  }
  run_heads(pointers_to(heads));
  return {out, saved};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> linformer_attention_backward(
    const Tensor& gradient_any, const Tensor& q_any, const Tensor& k_any, const Tensor& v_any,
    const Tensor& e_any, const Tensor& f_any, const Tensor& saved, const Tensor& offsets,
    const Tensor& offsets_k, double scale) {
  const Tensor q = readable(q_any), k = readable(k_any), v = readable(v_any);
  const Tensor gradient = readable(gradient_any);
  const Tensor e = contiguous_rows(e_any), f = contiguous_rows(f_any);
  const std::vector<Rows> queries = read_offsets(offsets), keys = read_offsets(offsets_k);
  const Call call{table_for(q), q.size(2), e.size(-2), static_cast<float>(scale)};
  const std::vector<Place> heads_in_order = places(queries, keys, q.size(1));
  const bool all = covers(heads_in_order, queries, q);
  Tensor grad_q = output_like(q, all), grad_k = output_like(k, all), grad_v = output_like(v, all);
  // Gradients of the projected keys and values, which E's and F's are made of.
  const int64_t b = static_cast<int64_t>(queries.size()), size = call.r * padded(call.d);
  const Tensor projected = at::zeros({2, b, q.size(1), size}, at::kFloat);
  const std::vector<int64_t> slots = slots_of(keys, call.r);
  std::vector<BackwardHead> heads;
  for (const auto& [i, h] : heads_in_order) {
    const Inputs in{.q = rows_of(q, queries[i].begin, h),
                    .k = rows_of(k, keys[i].begin, h),
                    .v = rows_of(v, keys[i].begin, h),
                    .e = projection_of(e, h),
                    .f = projection_of(f, h),
                    .gradient = rows_of(gradient, queries[i].begin, h),
                    .n_q = queries[i].count,
                    .n_k = keys[i].count,
                    .saved = saved_of(saved, slots[i], h)};
    const int64_t share = (static_cast<int64_t>(i) * q.size(1) + h) * size;
    const Outputs out{.grad_q = writable_rows_of(grad_q, queries[i].begin, h),
                      .grad_k = writable_rows_of(grad_k, keys[i].begin, h),
                      .grad_v = writable_rows_of(grad_v, keys[i].begin, h),
                      .grad_projected_k = projected[0].mutable_data_ptr<float>() + share,
                      .grad_projected_v = projected[1].mutable_data_ptr<float>() + share};
    heads.emplace_back(call, in, out);
  }
  run_heads(pointers_to(heads));
  return {grad_q, grad_k, grad_v, projection_gradient(projected[0], k, e, keys, call.table),
          projection_gradient(projected[1], v, f, keys, call.table)};
}

Tensor project_sequences(const Tensor& x_any, const Tensor& e_any, const Tensor& offsets) {
  const Tensor x = split_columns(readable(x_any)), e = contiguous_rows(e_any);
  const std::vector<Rows> sequences = read_offsets(offsets);
  const int64_t r = e.size(0), parts = x.size(1), d = x.size(2);
  const kernels::Table& table = table_for(x);
  const Tensor out = at::empty({r * static_cast<int64_t>(sequences.size()), parts, d}, x.options());
  const int64_t scratch_floats = table.scratch_floats(r, d, 0);
  for_each_task(static_cast<int64_t>(sequences.size()) * parts, scratch_floats,
                [&](int64_t task, float* scratch) {
                  const int64_t i = task / parts, part = task % parts;
                  const Rows rows = sequences[static_cast<size_t>(i)];
                  const Tensor y = buffer(r * padded(d)).zero_();
                  table.project(projection_of(e, 0), r, rows_of(x, rows.begin, part), d,
                                {0, rows.count}, y.mutable_data_ptr<float>(), scratch);
                  table.narrow(y.mutable_data_ptr<float>(), r, d, {},
                               writable_rows_of(out, i * r, part), scratch);
                });
  return out.flatten(1);
}

std::tuple<Tensor, Tensor> project_sequences_backward(const Tensor& gradient_any,
                                                      const Tensor& x_any, const Tensor& e_any,
                                                      const Tensor& offsets) {
  const Tensor x = split_columns(readable(x_any)), e = contiguous_rows(e_any);
  const Tensor gradient = split_columns(readable(gradient_any));
  const std::vector<Rows> sequences = read_offsets(offsets);
  const int64_t b = static_cast<int64_t>(sequences.size()), r = e.size(0);
  const int64_t parts = x.size(1), d = x.size(2);
  const kernels::Table& table = table_for(x);
  const Tensor grad_x = at::empty(x.sizes(), x.options());
  const Tensor grad_y = at::empty({b, parts, r * padded(d)}, at::kFloat);
  for_each_task(b * parts, table.scratch_floats(r, d, 0), [&](int64_t task, float* scratch) {
    const int64_t i = task / parts, part = task % parts;
    const Rows rows = sequences[static_cast<size_t>(i)];
    float* wide = grad_y.mutable_data_ptr<float>() + task * r * padded(d);
    table.widen(rows_of(gradient, i * r, part), r, d, wide);
    table.project_backward(projection_of(e, 0), r, wide, d, {0, rows.count},
                           writable_rows_of(grad_x, rows.begin, part), scratch);
  });
  return {grad_x.flatten(1), projection_gradient(grad_y, x, e, sequences, table)};
}

}  // namespace lowrank::cpu
