// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

// How the CPU work is split: one task for each part of each sequence. The split never depends on the
// rest of the batch, nor does a task's arithmetic.
namespace lowrank {

// The rows of one sequence in a ragged tensor.
struct Rows {
  int64_t begin;
  int64_t count;
};

std::vector<Rows> read_offsets(const at::Tensor& offsets);

// Calls task(sequence, part) for each pair on ATen's threads, longest sequence first; each call runs
// on one thread, below autograd.
void for_each_part(const std::vector<Rows>& sequences, int64_t parts,
                   const std::function<void(size_t sequence, int64_t part)>& task);

// float32, or float64 for float64: what sums, softmax and Z are computed in.
at::ScalarType compute_dtype(const at::Tensor& x);

// `view` as a fresh contiguous tensor in the compute dtype. Always a copy: matmul rounds differently
// with the alignment of its operands, so that otherwise a sequence's bits would depend on where it
// lies in the batch.
at::Tensor load(const at::Tensor& view);

// Part `head` of x [total, h, d], loaded: [n, d].
at::Tensor load_head(const at::Tensor& x, Rows rows, int64_t head);
void store_head(const at::Tensor& x, Rows rows, int64_t head, const at::Tensor& values);

// Ops without heads take blocks of columns of x [total, c] as their parts.
int64_t column_blocks(const at::Tensor& x);
at::Tensor load_columns(const at::Tensor& x, Rows rows, int64_t block);
void store_columns(const at::Tensor& x, Rows rows, int64_t block, const at::Tensor& values);

}  // namespace lowrank
