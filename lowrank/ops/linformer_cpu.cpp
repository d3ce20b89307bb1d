// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

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

// What one head reads and writes.
struct HeadMemory {
  kernels::Rows q, k, v, gradient = {};
  kernels::WritableRows out = {}, grad_q = {}, grad_k = {}, grad_v = {};
  float* saved = nullptr;  // E k and F v [2, r, d], from the forward to the backward
  // [r, padded(d)], those of the sequence's next head behind them.
  float *grad_projected_k = nullptr, *grad_projected_v = nullptr;
};

// Heads of one sequence that pass together, as they share e and f (see Note [Heads together] in
// kernels/cpu/project-inl.h).
struct Group {
  kernels::Rows e, f;
  int64_t n_q, n_k;
  std::vector<HeadMemory> heads;

  bool is_saved() const { return heads.front().saved != nullptr; }
};

// Rows of the chunks whose sums wait to be added: longer ones where there would be more than 16.
constexpr int64_t kMostShares = 16;

int64_t share_rows(int64_t n) {
  return kChunkRows * ((chunks_of(n) + kMostShares - 1) / kMostShares);
}

int64_t shares_of(int64_t n) { return (n + share_rows(n) - 1) / share_rows(n); }

Chunk share(int64_t n, int64_t index) {
  return {index * share_rows(n), std::min(n, (index + 1) * share_rows(n))};
}

class LinformerGroup : public Head {
 public:
  LinformerGroup(const Call& call, Group group)
      : call_(call),
        group_(std::move(group)),
        t_(call.table),
        heads_(static_cast<int64_t>(group_.heads.size())),
        head_floats_(call.r * padded(call.d)),
        size_(heads_ * head_floats_) {}

  int64_t scratch_floats(bool backward) const {
    return std::max(t_.scratch_floats(call_.r, call_.d, 0, backward),
                    t_.project_scratch_floats(call_.r, call_.d, heads_, backward));
  }

  int64_t heads() const override { return heads_; }

 protected:
  // E k and F v of each share of the keys, all heads of each.
  void reserve_projected(int64_t shares) {
    projected_ = Matrices(std::vector<int64_t>(2 * static_cast<size_t>(shares), size_));
  }

  void project(int64_t task, float* scratch) {
    const auto first = 2 * static_cast<size_t>(task);
    project(group_.e, &HeadMemory::k, task, projected_[first], scratch);
    project(group_.f, &HeadMemory::v, task, projected_[first + 1], scratch);
  }

  void pack(bool backward) {
    const int64_t floats = t_.packed_floats(call_.r, call_.d, backward);
    packed_ = Matrices(std::vector<int64_t>(group_.heads.size(), floats));
    for (int64_t h = 0; h < heads_; ++h) {
      t_.pack(projected_[0] + h * head_floats_, projected_[1] + h * head_floats_, call_.r, call_.d,
              call_.scale, backward, packed_[static_cast<size_t>(h)]);
    }
    projected_ = Matrices();
  }

  // Adds the pairs of all shares into the first.
  void add_shares(int64_t count, const Matrices& shares) const {
    for (size_t i = 2; i < 2 * static_cast<size_t>(count); ++i) {
      add(size_, shares[i], shares[i % 2]);
    }
  }

  // The rows of each head.
  template <class RowsType>
  std::vector<RowsType> rows_of_heads(RowsType HeadMemory::*x) const {
    std::vector<RowsType> rows;
    for (const HeadMemory& head : group_.heads) rows.push_back(head.*x);
    return rows;
  }

  kernels::Packed packed(size_t head) const { return {call_.r, call_.d, packed_[head]}; }

  // Calls row(projected, saved) for each row of E k and F v of each head that has a place for them.
  template <class Row>
  void for_each_saved(Row row) const {
    for (int64_t h = 0; h < heads_; ++h) {
      float* saved = group_.heads[static_cast<size_t>(h)].saved;
      for (int64_t i = 0; i < 2 * call_.r; ++i) {
        row(projected_[static_cast<size_t>(i / call_.r)] + h * head_floats_ +
                i % call_.r * padded(call_.d),
            saved + i * call_.d);
      }
    }
  }

  const Call& call_;
  const Group group_;
  const kernels::Table& t_;
  const int64_t heads_, head_floats_, size_;
  Matrices projected_, packed_;

 private:
  void project(kernels::Rows e, kernels::Rows HeadMemory::*x, int64_t task, float* y,
               float* scratch) {
    std::fill_n(y, size_, 0.0F);
    t_.project(e, call_.r, rows_of_heads(x).data(), heads_, call_.d, share(group_.n_k, task), y,
               scratch);
  }
};

class ForwardGroup : public LinformerGroup {
 public:
  using LinformerGroup::LinformerGroup;

  int64_t scratch_floats() const override { return LinformerGroup::scratch_floats(false); }

  int64_t phases() const override { return 4; }

  int64_t tasks(int64_t phase) const override {
    return phase == 1 ? shares_of(group_.n_k) : phase == 3 ? chunks_of(group_.n_q) : 1;
  }

  void run(int64_t phase, int64_t task, float* scratch) override {
    switch (phase) {
      case 0:
        return reserve_projected(shares_of(group_.n_k));
      case 1:
        return project(task, scratch);
      case 2:
        return compress();
      default:
        return attend(task, scratch);
    }
  }

  void release() override { projected_ = packed_ = Matrices(); }

 private:
  // The backward has the same bits with and without what is saved.
  void compress() {
    add_shares(shares_of(group_.n_k), projected_);
    if (group_.is_saved()) {
      for_each_saved(
          [&](float* projected, float* saved) { std::copy_n(projected, call_.d, saved); });
    }
    pack(false);
  }

  void attend(int64_t task, float* scratch) {
    const Chunk rows = chunk(group_.n_q, task);
    for (size_t h = 0; h < group_.heads.size(); ++h) {
      const HeadMemory& head = group_.heads[h];
      t_.attend(head.q, rows, packed(h), {}, head.out, scratch);
    }
  }
};

class BackwardGroup : public LinformerGroup {
 public:
  using LinformerGroup::LinformerGroup;

  int64_t scratch_floats() const override { return LinformerGroup::scratch_floats(true); }

  int64_t phases() const override { return 6; }

  int64_t tasks(int64_t phase) const override {
    const int64_t query_shares = shares_of(group_.n_q), key_shares = shares_of(group_.n_k);
    const int64_t key_chunks = chunks_of(group_.n_k);
    const int64_t counts[] = {1,         group_.is_saved() ? 0 : key_shares, 1, query_shares, 1,
                              key_chunks};
    return counts[phase];
  }

  void run(int64_t phase, int64_t task, float* scratch) override {
    switch (phase) {
      case 0:
        return reserve_projected(group_.is_saved() ? 1 : shares_of(group_.n_k));
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
    group_.is_saved() ? restore() : add_shares(shares_of(group_.n_k), projected_);
    pack(true);
    query_shares_ =
        Matrices(std::vector<int64_t>(2 * static_cast<size_t>(shares_of(group_.n_q)), size_));
  }

  void restore() {
    for_each_saved([&](float* projected, const float* saved) {
      std::fill_n(projected, padded(call_.d), 0.0F);
      std::copy_n(saved, call_.d, projected);
    });
  }

  void differentiate_queries(int64_t task, float* scratch) {
    const auto first = 2 * static_cast<size_t>(task);
    float *grad_k = query_shares_[first], *grad_v = query_shares_[first + 1];
    std::fill_n(grad_k, size_, 0.0F);
    std::fill_n(grad_v, size_, 0.0F);
    const Chunk rows = share(group_.n_q, task);
    for (size_t h = 0; h < group_.heads.size(); ++h) {
      const HeadMemory& head = group_.heads[h];
      const int64_t begin = static_cast<int64_t>(h) * head_floats_;
      t_.attend_backward(head.gradient, head.q, rows, packed(h), head.grad_q, grad_k + begin,
                         grad_v + begin, scratch);
    }
  }

  void add_query_shares() {
    add_shares(shares_of(group_.n_q), query_shares_);
    const float *grad_k = query_shares_[0], *grad_v = query_shares_[1];
    const HeadMemory& first = group_.heads.front();
    for (int64_t j = 0; j < size_; ++j) first.grad_projected_k[j] = grad_k[j] * call_.scale;
    std::copy_n(grad_v, size_, first.grad_projected_v);
    query_shares_ = Matrices();
  }

  void differentiate_keys(int64_t task, float* scratch) {
    const HeadMemory& first = group_.heads.front();
    differentiate(group_.e, first.grad_projected_k, &HeadMemory::grad_k, task, scratch);
    differentiate(group_.f, first.grad_projected_v, &HeadMemory::grad_v, task, scratch);
  }

  void differentiate(kernels::Rows e, const float* grad_y, kernels::WritableRows HeadMemory::*x,
                     int64_t task, float* scratch) {
    t_.project_backward(e, call_.r, grad_y, heads_, call_.d, chunk(group_.n_k, task),
                        rows_of_heads(x).data(), scratch);
  }

  Matrices query_shares_;
};

// How many heads pass a projection together: at most four, fewer where that would leave a thread
// without one of the `tasks` that there are for heads alone.
int64_t heads_together(int64_t tasks) {
  return std::clamp<int64_t>(tasks / (2 * at::get_num_threads()), 1, 4);
}

bool is_shared(const Tensor& e, const Tensor& f) { return e.dim() == 2 && f.dim() == 2; }

// The heads of all sequences in their groups; memory(i, h) is that of head h of sequence i.
template <class Memory>
std::vector<Group> groups_of(const std::vector<Place>& places, const std::vector<Rows>& queries,
                             const std::vector<Rows>& keys, const Tensor& e, const Tensor& f,
                             Memory memory) {
  int64_t tasks = 0;
  for (const Place& place : places) tasks += chunks_of(keys[place.sequence].count);
  const int64_t most = is_shared(e, f) ? heads_together(tasks) : 1;
  std::vector<Group> groups;
  size_t sequence = 0;  // of the last group
  for (const auto& [i, h] : places) {
    const bool fits = !groups.empty() && sequence == i && std::ssize(groups.back().heads) < most;
    if (!fits) {
      groups.push_back(
          {projection_of(e, h), projection_of(f, h), queries[i].count, keys[i].count, {}});
    }
    groups.back().heads.push_back(memory(i, h));
    sequence = i;
  }
  return groups;
}

template <class GroupType>
void run_groups(const Call& call, std::vector<Group> groups) {
  std::vector<GroupType> heads;
  for (Group& group : groups) heads.emplace_back(call, std::move(group));
  run_heads(pointers_to(heads));
}

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
  const int64_t scratch_floats =
      sum_floats + table.project_scratch_floats(r, d, 1, /*backward=*/true);
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

// Calls task(sequence, its rows, parts [begin, end) that pass together, scratch) for all sequences and
// parts of columns.
void for_each_group(const std::vector<Rows>& sequences, int64_t parts, int64_t r, int64_t d,
                    const kernels::Table& table, bool backward,
                    const std::function<void(int64_t, Rows, int64_t, int64_t, float*)>& task) {
  const int64_t b = static_cast<int64_t>(sequences.size()), together = heads_together(b * parts);
  const int64_t groups = (parts + together - 1) / together;
  for_each_task(b * groups, table.project_scratch_floats(r, d, together, backward),
                [&](int64_t index, float* scratch) {
                  const int64_t i = index / groups, begin = index % groups * together;
                  const int64_t end = std::min(parts, begin + together);
                  task(i, sequences[static_cast<size_t>(i)], begin, end, scratch);
                });
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
  const auto memory = [&](size_t i, int64_t h) {
    return HeadMemory{.q = rows_of(q, queries[i].begin, h),
                      .k = rows_of(k, keys[i].begin, h),
                      .v = rows_of(v, keys[i].begin, h),
                      .out = writable_rows_of(out, queries[i].begin, h),
                      .saved = saved_of(saved, slots[i], h)};
  };
  run_groups<ForwardGroup>(call, groups_of(heads_in_order, queries, keys, e, f, memory));
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
  float* grad_projected_k = projected[0].mutable_data_ptr<float>();
  float* grad_projected_v = projected[1].mutable_data_ptr<float>();
  const std::vector<int64_t> slots = slots_of(keys, call.r);
  const auto memory = [&](size_t i, int64_t h) {
    const int64_t begin = (static_cast<int64_t>(i) * q.size(1) + h) * size;
    return HeadMemory{.q = rows_of(q, queries[i].begin, h),
                      .k = rows_of(k, keys[i].begin, h),
                      .v = rows_of(v, keys[i].begin, h),
                      .gradient = rows_of(gradient, queries[i].begin, h),
                      .grad_q = writable_rows_of(grad_q, queries[i].begin, h),
                      .grad_k = writable_rows_of(grad_k, keys[i].begin, h),
                      .grad_v = writable_rows_of(grad_v, keys[i].begin, h),
                      .saved = saved_of(saved, slots[i], h),
                      .grad_projected_k = grad_projected_k + begin,
                      .grad_projected_v = grad_projected_v + begin};
  };
  run_groups<BackwardGroup>(call, groups_of(heads_in_order, queries, keys, e, f, memory));
  return {grad_q, grad_k, grad_v, projection_gradient(projected[0], k, e, keys, call.table),
          projection_gradient(projected[1], v, f, keys, call.table)};
}

Tensor project_sequences(const Tensor& x_any, const Tensor& e_any, const Tensor& offsets) {
  const Tensor x = split_columns(readable(x_any)), e = contiguous_rows(e_any);
  const std::vector<Rows> sequences = read_offsets(offsets);
  const int64_t r = e.size(0), parts = x.size(1), d = x.size(2), size = r * padded(d);
  const kernels::Table& table = table_for(x);
  const Tensor out = at::empty({r * static_cast<int64_t>(sequences.size()), parts, d}, x.options());
  for_each_group(sequences, parts, r, d, table, /*backward=*/false,
                 [&](int64_t i, Rows rows, int64_t begin, int64_t end, float* scratch) {
                   const Tensor sums = buffer((end - begin) * size).zero_();
                   float* y = sums.mutable_data_ptr<float>();
                   std::vector<kernels::Rows> columns;
                   for (int64_t part = begin; part < end; ++part) {
                     columns.push_back(rows_of(x, rows.begin, part));
                   }
                   table.project(projection_of(e, 0), r, columns.data(), end - begin, d,
                                 {0, rows.count}, y, scratch);
                   for (int64_t part = begin; part < end; ++part, y += size) {
                     table.narrow(y, r, d, {}, writable_rows_of(out, i * r, part), scratch);
                   }
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
  const int64_t parts = x.size(1), d = x.size(2), size = r * padded(d);
  const kernels::Table& table = table_for(x);
  const Tensor grad_x = at::empty(x.sizes(), x.options());
  const Tensor grad_y = at::empty({b, parts, size}, at::kFloat);
  for_each_group(sequences, parts, r, d, table, /*backward=*/true,
                 [&](int64_t i, Rows rows, int64_t begin, int64_t end, float* scratch) {
                   float* wide = grad_y.mutable_data_ptr<float>() + (i * parts + begin) * size;
                   std::vector<kernels::WritableRows> columns;
                   for (int64_t part = begin; part < end; ++part) {
                     table.widen(rows_of(gradient, i * r, part), r, d,
                                 wide + (part - begin) * size);
                     columns.push_back(writable_rows_of(grad_x, rows.begin, part));
                   }
                   table.project_backward(projection_of(e, 0), r, wide, end - begin, d,
                                          {0, rows.count}, columns.data(), scratch);
                 });
  return {grad_x.flatten(1), projection_gradient(grad_y, x, e, sequences, table)};
}

}  // namespace lowrank::cpu
