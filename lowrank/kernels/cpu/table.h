// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "lowrank/base/cpu_level.h"

// The CPU kernels: functions on raw memory, each one thread's share of the work, in one table for
// each CPU level and element type. Nothing here knows LibTorch or a thread pool.
//
// Letters: n rows of q (queries) or of k and v (keys), d head size (a multiple of 8), m landmarks,
// r rows attended to. Matrices that only kernels exchange are float, with rows padded by zeros to
// padded(d) or padded(m) columns; every sum is kept in float.
namespace lowrank::kernels {

enum class Element { kFloat, kBfloat16 };

// The columns that a row of `columns` floats takes.
constexpr int64_t padded(int64_t columns) { return (columns + 15) / 16 * 16; }

// Row i of d elements lies at element i * stride behind `at`.
struct Rows {
  const void* at;
  int64_t stride;
};
struct WritableRows {
  void* at;
  int64_t stride;
};

// The m consecutive segments of n rows, n >= m, whose means are landmarks; the first n mod m have one
// row more.
struct Segments {
  int64_t n, m;

  constexpr int64_t begin(int64_t segment) const {
    return segment * (n / m) + (segment < n % m ? segment : n % m);
  }
  constexpr int64_t rows(int64_t segment) const { return begin(segment + 1) - begin(segment); }
  // The segment of a row.
  constexpr int64_t of(int64_t row) const {
    const int64_t size = n / m, longer = n % m, border = longer * (size + 1);
    return row < border ? row / (size + 1) : longer + (row - border) / size;
  }
};

// sum over t of filter[t] x[i + t - taps / 2], x being zero outside of its n rows. taps = 0: none.
struct Convolution {
  Rows x;
  int64_t n;
  const float* filter;
  int64_t taps;
};

// Rows [begin, end) of a sequence: a chunk, the share of one call.
struct Chunk {
  int64_t begin, end;
};

// softmax(q k^T) over the rows of k, or over the rows of q; `packed` by Table::pack, which takes the
// scale into k.
struct Packed {
  int64_t r, d;
  const float* at;
};

// What is known of B v = softmax(s qm k^T) v after some of the keys, for each landmark: the largest
// score so far, and sums of exp(score - largest) and of that times v.
struct Compressed {
  float* largest;  // [padded(m)]
  float* sum;      // [padded(m)]
  float* bv;       // [m, padded(d)]
};

struct Table {
  // The scratch memory, in floats, that any of the kernels below needs, with `backward` those of
  // gradients too; the kernels of projections and of A and Z have their own.
  int64_t (*scratch_floats)(int64_t r, int64_t d, int64_t taps, bool backward);
  int64_t (*project_scratch_floats)(int64_t r, int64_t d, int64_t heads, bool backward);
  int64_t (*inverse_scratch_floats)(int64_t m, int64_t d, bool backward);

  // The means [m, padded(d)] of the segments of x [n, d]. And the gradient: rows of `chunk` in grad_x
  // get their segment's share added.
  void (*means)(Rows x, Segments segments, int64_t d, float* means);
  void (*add_means_gradient)(const float* gradient, Segments segments, int64_t d, Chunk chunk,
                             WritableRows grad_x);

  // x [n, d] as floats [n, padded(d)], and back, with a convolution added, in place too.
  void (*widen)(Rows x, int64_t n, int64_t d, float* wide);
  void (*narrow)(float* wide, int64_t n, int64_t d, const Convolution& convolution, WritableRows x,
                 float* scratch);

  // scale k [r, padded(d)] and v [r, padded(d)] in the order that the products read them. Without
  // v (null), as for `compress`, it takes half of the memory.
  int64_t (*packed_floats)(int64_t r, int64_t d, bool backward);
  void (*pack)(const float* k, const float* v, int64_t r, int64_t d, float scale, bool backward,
               float* packed);

  // out = softmax(q k^T) v [+ convolution] for the rows of a chunk.
  void (*attend)(Rows q, Chunk chunk, const Packed& right, const Convolution& convolution,
                 WritableRows out, float* scratch);
  // From the gradient of out: grad_q's rows of the chunk, and what the chunk adds to the gradients
  // [r, padded(d)] of k, before the scale, and of v.
  void (*attend_backward)(Rows gradient, Rows q, Chunk chunk, const Packed& right,
                          WritableRows grad_q, float* grad_k, float* grad_v, float* scratch);

  // B v over the keys of a chunk; `right` holds the landmarks of q as k. Where `means` is not null, it
  // gets those of the chunk's segments of k, which must be whole.
  void (*compress)(Rows k, Rows v, int64_t n, Chunk chunk, const Packed& right,
                   const Compressed& out, float* means, float* scratch);
  // Adds up chunks in their order, into the first, and divides: bv is then B v, and sum the inverse.
  void (*combine)(const Compressed* chunks, int64_t count, int64_t m, int64_t d);
  // From the gradient of B v, which `right` holds as v: grad_k's rows of the chunk, grad_v's with
  // the convolution added, and what the chunk adds to the gradient of the landmarks of q, before
  // the scale. `grad_means` [m, padded(d)], of the landmarks of k, is spread over grad_k.
  void (*compress_backward)(Rows k, Rows v, int64_t n, Chunk chunk, const Packed& right,
                            const Compressed& bv, const float* delta, const float* grad_means,
                            const Convolution& convolution, WritableRows grad_k,
                            WritableRows grad_v, float* grad_q_means, float* scratch);
  // Adds sum over i in the chunk and the columns of x[i + t - taps / 2] gradient[i] to filter[t].
  void (*filter_gradient)(Rows gradient, const Convolution& convolution, int64_t d, Chunk chunk,
                          float* filter, float* scratch);

  // y [heads, r, padded(d)] += e[:, chunk] x[chunk], e [r, columns], each head's x its own rows.
  void (*project)(Rows e, int64_t r, const Rows* x, int64_t heads, int64_t d, Chunk chunk, float* y,
                  float* scratch);
  // grad_x[chunk] = e[:, chunk]^T grad_y, of as many heads.
  void (*project_backward)(Rows e, int64_t r, const float* grad_y, int64_t heads, int64_t d,
                           Chunk chunk, const WritableRows* grad_x, float* scratch);
  // grad_e [r, .] += grad_y x[chunk]^T, its rows `stride` apart and with room for padded(chunk).
  void (*projection_gradient)(const float* grad_y, int64_t r, Rows x, int64_t d, Chunk chunk,
                              float* grad_e, int64_t stride, float* scratch);

  // softmax over the columns of s [m, padded(m)] = qm [m, padded(d)] scale km^T, in place of s.
  void (*landmark_probabilities)(const float* qm, const float* km, int64_t m, int64_t d,
                                 float scale, float* a, float* scratch);
  // From the gradient of a, in whose place the scores' is left: what they add to those of qm and km.
  void (*landmark_probabilities_backward)(const float* a, float* grad_a, const float* qm,
                                          const float* km, int64_t m, int64_t d, float scale,
                                          float* grad_qm, float* grad_km);
  // Z_0 to Z_steps, each [m, padded(m)], of a; with `keep` all of them, else the last alone.
  void (*inverse)(const float* a, int64_t m, int64_t steps, bool keep, float* z, float* scratch);
  void (*inverse_backward)(const float* a, const float* z, int64_t m, int64_t steps,
                           const float* grad_z, float* grad_a, float* scratch);
  // c [rows, columns] = a [rows, depth] b [depth, columns]; `transposed` reads a [depth, rows]. All
  // are padded; with `add`, c += a b.
  void (*multiply)(int64_t rows, int64_t columns, int64_t depth, const float* a, bool transposed,
                   const float* b, bool add, float* c);
};

// The kernels of `level` for `element`; a level without kernels of its own has those of the level
// below.
const Table& table(CpuLevel level, Element element);
// The level whose kernels those are.
CpuLevel table_level(CpuLevel level, Element element);

}  // namespace lowrank::kernels
