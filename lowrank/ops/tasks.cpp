// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/tasks.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <atomic>
#include <numeric>

namespace lowrank {
namespace {

using at::Tensor;

constexpr int64_t kBlockColumns = 64;

Tensor head_of(const Tensor& x, Rows rows, int64_t head) {
  return x.narrow(0, rows.begin, rows.count).select(1, head);
}

Tensor columns_of(const Tensor& x, Rows rows, int64_t block) {
  const int64_t begin = block * kBlockColumns;
  const int64_t width = std::min(kBlockColumns, x.size(1) - begin);
  return x.narrow(0, rows.begin, rows.count).narrow(1, begin, width);
}

}  // namespace

std::vector<Rows> read_offsets(const Tensor& offsets) {
  const Tensor contiguous = offsets.contiguous();
  const int64_t* at = contiguous.const_data_ptr<int64_t>();
  std::vector<Rows> sequences;
  for (int64_t i = 0; i + 1 < offsets.numel(); ++i) {
    sequences.push_back({at[i], at[i + 1] - at[i]});
  }
  return sequences;
}

void for_each_part(const std::vector<Rows>& sequences, int64_t parts,
                   const std::function<void(size_t, int64_t)>& task) {
  std::vector<size_t> longest_first(sequences.size());
  std::iota(longest_first.begin(), longest_first.end(), size_t{0});
  std::stable_sort(longest_first.begin(), longest_first.end(),
                   [&](size_t a, size_t b) { return sequences[a].count > sequences[b].count; });
  const int64_t tasks = parts * static_cast<int64_t>(sequences.size());
  std::atomic<int64_t> next = 0;
  const auto take_tasks = [&](int64_t, int64_t) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const at::NoGradGuard no_grad;
    for (int64_t i = next++; i < tasks; i = next++) {
      task(longest_first[static_cast<size_t>(i / parts)], i % parts);
    }
  };
  // At least two workers, even for a lone task: outside of a parallel region a matmul would use
  // LibTorch's own threads and round differently than the same task in a larger batch.
  if (tasks > 0) at::parallel_for(0, std::max(2, at::get_num_threads()), 1, take_tasks);
}

at::ScalarType compute_dtype(const Tensor& x) {
  return x.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
}

Tensor load(const Tensor& view) {
  return at::empty(view.sizes(), view.options().dtype(compute_dtype(view))).copy_(view);
}

Tensor load_head(const Tensor& x, Rows rows, int64_t head) { return load(head_of(x, rows, head)); }

void store_head(const Tensor& x, Rows rows, int64_t head, const Tensor& values) {
  head_of(x, rows, head).copy_(values);
}

int64_t column_blocks(const Tensor& x) { return (x.size(1) + kBlockColumns - 1) / kBlockColumns; }

Tensor load_columns(const Tensor& x, Rows rows, int64_t block) {
  return load(columns_of(x, rows, block));
}

void store_columns(const Tensor& x, Rows rows, int64_t block, const Tensor& values) {
  columns_of(x, rows, block).copy_(values);
}

}  // namespace lowrank
