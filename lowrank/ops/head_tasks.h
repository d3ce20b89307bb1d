// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "lowrank/kernels/cpu/table.h"
#include "lowrank/ops/tasks.h"

// How the kernels' work is split over ATen's threads. One head of one sequence, or a few that share a
// matrix, goes through phases; a phase is a number of tasks that may run at once, each a chunk of
// rows. Chunks have a fixed length, so that the bits depend neither on the number of threads nor on
// the rest of the batch.
namespace lowrank::cpu {

// Rows of a sequence in one chunk.
inline constexpr int64_t kChunkRows = 2048;

int64_t chunks_of(int64_t rows);
kernels::Chunk chunk(int64_t rows, int64_t index);

// A float buffer on a cache line, its contents unset.
at::Tensor buffer(int64_t floats);

// Float matrices cut from one buffer.
class Matrices {
 public:
  // `sizes` in floats; [i] is the i-th of them.
  explicit Matrices(const std::vector<int64_t>& sizes) {
    int64_t floats = 0;
    for (const int64_t size : sizes) {
      begins_.push_back(floats);
      floats += kernels::padded(size);
    }
    buffer_ = buffer(floats);
  }
  Matrices() = default;
  float* operator[](size_t i) const { return buffer_.mutable_data_ptr<float>() + begins_[i]; }

 private:
  at::Tensor buffer_;
  std::vector<int64_t> begins_;
};

// sum += x, of `count` floats.
void add(int64_t count, const float* x, float* sum);

// Calls task(i, scratch) for i < count on ATen's threads, in this order as threads get free.
// `scratch` is a thread's own, of that many floats.
void for_each_task(int64_t count, int64_t scratch_floats,
                   const std::function<void(int64_t i, float* scratch)>& task);

// One head of one sequence on its way, or a few together.
class Head {
 public:
  virtual ~Head() = default;
  virtual int64_t phases() const = 0;
  virtual int64_t tasks(int64_t phase) const = 0;
  virtual void run(int64_t phase, int64_t task, float* scratch) = 0;
  virtual int64_t scratch_floats() const = 0;
  // How many heads this is.
  virtual int64_t heads() const { return 1; }
  // Frees the buffers of a head that is through.
  virtual void release() = 0;
};

// Takes all heads through all phases. Those of one task a phase run from start to end on one thread,
// the others a few at a time, so that few buffers are alive: two for each thread, or one, where each
// is several heads.
void run_heads(const std::vector<Head*>& heads);

template <class HeadType>
std::vector<Head*> pointers_to(std::vector<HeadType>& heads) {
  std::vector<Head*> pointers;
  for (HeadType& head : heads) pointers.push_back(&head);
  return pointers;
}

// The heads of all sequences that have queries and keys, longest first.
struct Place {
  size_t sequence;
  int64_t head;
};
std::vector<Place> places(const std::vector<Rows>& queries, const std::vector<Rows>& keys,
                          int64_t heads);

// Whether those are all heads of all sequences, so that every row of x will be written.
bool covers(const std::vector<Place>& heads, const std::vector<Rows>& sequences,
            const at::Tensor& x);

// A tensor for results with the sizes of x; zeros unless all of it will be written.
at::Tensor output_like(const at::Tensor& x, bool all_written);

// The rows of head `head` in x [total, h, d], from row `begin`.
kernels::Rows rows_of(const at::Tensor& x, int64_t begin, int64_t head);
kernels::WritableRows writable_rows_of(const at::Tensor& x, int64_t begin, int64_t head);

// What a forward saved for its backward, [slots, h, ...] in float: a head's part of it, null for a
// sequence without a slot (-1) and where nothing was saved.
float* saved_of(const at::Tensor& saved, int64_t slot, int64_t head);

// x in the strides that kernels read: the last dimension contiguous, the others even.
at::Tensor readable(const at::Tensor& x);

// The kernels for x at the level in force.
const kernels::Table& table_for(const at::Tensor& x);

}  // namespace lowrank::cpu
