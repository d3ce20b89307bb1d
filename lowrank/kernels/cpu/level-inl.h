// SPDX-License-Identifier: Apache-2.0
// All kernels of one CPU level. Each level's file includes this one inside its unnamed namespace,
// after <immintrin.h>: no function of it may be seen by, or merged with, another level's.

#include "lowrank/kernels/cpu/vector-inl.h"
//
#include "lowrank/kernels/cpu/product-inl.h"
//
#include "lowrank/kernels/cpu/elements-inl.h"
//
#if defined(__AMX_BF16__)
#include "lowrank/kernels/cpu/tiles-inl.h"
#endif
//
#include "lowrank/kernels/cpu/convolution-inl.h"
//
#include "lowrank/kernels/cpu/attend-inl.h"
//
#include "lowrank/kernels/cpu/compress-inl.h"
//
#include "lowrank/kernels/cpu/means-inl.h"
//
#include "lowrank/kernels/cpu/inverse-inl.h"
//
#include "lowrank/kernels/cpu/project-inl.h"

template <class Operands>
static int64_t scratch_floats(int64_t r, int64_t d, int64_t taps) {
  constexpr int64_t kBandRows = Operands::kBandRows;
  const int64_t rp = padded(r + 1), dp = padded(d), tile = tile_rows<Operands>(r);
  const int64_t attending = tile * (7 * dp + 2 * rp + 16) + padded(tile) * rp +
                            2 * (tile + taps + 1) * dp + (kBandRows + 2) * padded(taps + kBandRows);
  const int64_t convolving = 3 * (64 + taps) * dp + (kBandRows + 2) * padded(taps + kBandRows);
  return attending + convolving;
}

static int64_t inverse_scratch_floats(int64_t m, int64_t d) {
  return padded(m) * (11 * padded(m) + padded(d) + 16);
}

template <class Operands>
static constexpr Table table_of() {
  using Element = typename Operands::Element;
  return {
      .scratch_floats = scratch_floats<Operands>,
      .project_scratch_floats = project_scratch_floats,
      .inverse_scratch_floats = inverse_scratch_floats,
      .means = means<Element>,
      .add_means_gradient = add_means_gradient<Element>,
      .widen = [](Rows x, int64_t n, int64_t d,
                  float* wide) { widen_rows<Element>(x, n, d, 0, n, wide); },
      .narrow = narrow<Operands>,
      .packed_floats = packed_floats,
      .pack = pack<Operands>,
      .attend = attend<Operands>,
      .attend_backward = attend_backward<Operands>,
      .compress = compress<Operands>,
      .combine = combine,
      .compress_backward = compress_backward<Operands>,
      .filter_gradient = filter_gradient<Operands>,
      .project = project<Operands>,
      .project_backward = project_backward<Operands>,
      .projection_gradient = projection_gradient<Operands>,
      .landmark_probabilities = landmark_probabilities,
      .landmark_probabilities_backward = landmark_probabilities_backward,
      .inverse = inverse,
      .inverse_backward = inverse_backward,
      .multiply = multiply_floats,
  };
}
