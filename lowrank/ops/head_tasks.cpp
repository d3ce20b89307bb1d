// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/head_tasks.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <algorithm>
#include <atomic>

namespace lowrank::cpu {

using at::Tensor;

int64_t chunks_of(int64_t rows) { return (rows + kChunkRows - 1) / kChunkRows; }

kernels::Chunk chunk(int64_t rows, int64_t index) {
  return {index * kChunkRows, std::min(rows, (index + 1) * kChunkRows)};
}

void add(int64_t count, const float* x, float* sum) {
  for (int64_t i = 0; i < count; ++i) sum[i] += x[i];
}

Tensor buffer(int64_t floats) { return at::empty({floats}, at::kFloat); }

void for_each_task(int64_t count, int64_t scratch_floats,
                   const std::function<void(int64_t, float*)>& task) {
  std::atomic<int64_t> next = 0;
  const auto take_tasks = [&](int64_t, int64_t) {
    const at::AutoDispatchBelowADInplaceOrView below_autograd;
    const at::NoGradGuard no_grad;
    const Tensor scratch = buffer(scratch_floats);
    for (int64_t i = next++; i < count; i = next++) task(i, scratch.mutable_data_ptr<float>());
  };
  const int64_t workers = std::min<int64_t>(count, at::get_num_threads());
  if (count > 0) at::parallel_for(0, workers, 1, take_tasks);
}

namespace {

int64_t largest_scratch(const std::vector<Head*>& heads) {
  int64_t floats = 0;
  for (const Head* head : heads) floats = std::max(floats, head->scratch_floats());
  return floats;
}

}  // namespace

void run_heads(const std::vector<Head*>& heads) {
  std::vector<Head*> whole, parted;
  for (Head* head : heads) {
    bool one_task = true;
    for (int64_t phase = 0; phase < head->phases(); ++phase) one_task &= head->tasks(phase) <= 1;
    (one_task ? whole : parted).push_back(head);
  }
  const bool single = !parted.empty() && parted.front()->heads() == 1;
  const size_t group = static_cast<size_t>(at::get_num_threads()) * (single ? 2 : 1);
  for (size_t begin = 0; begin < parted.size(); begin += group) {
    const size_t end = std::min(parted.size(), begin + group);
    const int64_t phases = parted[begin]->phases();
    for (int64_t phase = 0; phase < phases; ++phase) {
      std::vector<std::pair<Head*, int64_t>> tasks;
      for (size_t i = begin; i < end; ++i) {
        for (int64_t t = 0; t < parted[i]->tasks(phase); ++t) tasks.emplace_back(parted[i], t);
      }
      for_each_task(static_cast<int64_t>(tasks.size()), largest_scratch(parted),
                    [&](int64_t i, float* scratch) {
                      const auto& [head, task] = tasks[static_cast<size_t>(i)];
                      head->run(phase, task, scratch);
                    });
    }
    for (size_t i = begin; i < end; ++i) parted[i]->release();
  }
  for_each_task(static_cast<int64_t>(whole.size()), largest_scratch(whole),
                [&](int64_t i, float* scratch) {
                  Head* head = whole[static_cast<size_t>(i)];
                  for (int64_t phase = 0; phase < head->phases(); ++phase) {
                    if (head->tasks(phase) == 1) head->run(phase, 0, scratch);
                  }
                  head->release();
                });
}

namespace {

int64_t offset_of(const Tensor& x, int64_t begin, int64_t head) {
  return (begin * x.stride(0) + head * x.stride(1)) * x.element_size();
}

}  // namespace

kernels::Rows rows_of(const Tensor& x, int64_t begin, int64_t head) {
  return {static_cast<const char*>(x.const_data_ptr()) + offset_of(x, begin, head), x.stride(0)};
}

kernels::WritableRows writable_rows_of(const Tensor& x, int64_t begin, int64_t head) {
  return {static_cast<char*>(x.mutable_data_ptr()) + offset_of(x, begin, head), x.stride(0)};
}

std::vector<Place> places(const std::vector<Rows>& queries, const std::vector<Rows>& keys,
                          int64_t heads) {
  std::vector<Place> result;
  for (size_t i = 0; i < queries.size(); ++i) {
    if (queries[i].count == 0 || keys[i].count == 0) continue;
    for (int64_t h = 0; h < heads; ++h) result.push_back({i, h});
  }
  const auto length = [&](const Place& p) {
    return queries[p.sequence].count + keys[p.sequence].count;
  };
  std::stable_sort(result.begin(), result.end(),
                   [&](const Place& a, const Place& b) { return length(a) > length(b); });
  return result;
}

bool covers(const std::vector<Place>& heads, const std::vector<Rows>& sequences, const Tensor& x) {
  return static_cast<int64_t>(heads.size()) == static_cast<int64_t>(sequences.size()) * x.size(1);
}

namespace {

// Asks the system for pages of 2 MiB under a large tensor that is not yet written: the C library gets
// such memory anew for each call, and its small pages are zeroed one by one as they are met, which takes
// a third of a forward of 16,384 tokens. A system without such pages ignores it.
void prefer_large_pages(const Tensor& x) {
#if defined(__linux__)
  constexpr size_t kFewest = 4 << 20, kSmallPage = 4096;
  const size_t bytes = x.nbytes();
  if (bytes < kFewest) return;
  const auto begin = reinterpret_cast<uintptr_t>(x.mutable_data_ptr());
  const uintptr_t first = (begin + kSmallPage - 1) / kSmallPage * kSmallPage;
  const uintptr_t last = (begin + bytes) / kSmallPage * kSmallPage;
  madvise(reinterpret_cast<void*>(first), last - first, MADV_HUGEPAGE);
#endif
}

}  // namespace

Tensor output_like(const Tensor& x, bool all_written) {
  Tensor out = at::empty(x.sizes(), x.options());
  prefer_large_pages(out);
  return all_written ? out : out.zero_();
}

float* saved_of(const Tensor& saved, int64_t slot, int64_t head) {
  if (slot < 0 || !saved.defined()) return nullptr;
  return saved.mutable_data_ptr<float>() + slot * saved.stride(0) + head * saved.stride(1);
}

Tensor readable(const Tensor& x) {
  const bool fits = x.stride(-1) == 1 && x.stride(0) % 2 == 0;
  return fits ? x : x.contiguous();
}

const kernels::Table& table_for(const Tensor& x) {
  return kernels::table(cpu_level(), x.scalar_type() == at::kFloat ? kernels::Element::kFloat
                                                                   : kernels::Element::kBfloat16);
}

}  // namespace lowrank::cpu
