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
#include "lowrank/kernels/cpu/means-inl.h"
//
#include "lowrank/kernels/cpu/compress-inl.h"
//
#include "lowrank/kernels/cpu/inverse-inl.h"
//
#include "lowrank/kernels/cpu/project-inl.h"

template <class Operands>
static int64_t scratch_floats(int64_t r, int64_t d, int64_t taps, bool backward) {
  using NarrowMemory = typename ConvolutionTile<Operands>::Memory;
  int64_t floats = floats_of<AttendMemory<Operands>>(r, d, taps);
  floats = larger_of(floats, floats_of<CompressMemory<Operands>>(r, d));
  floats = larger_of(floats, floats_of<NarrowMemory>(kConvolutionRows, d, taps));
  if (!backward) return floats;
  floats = larger_of(floats, floats_of<AttendBackwardMemory<Operands>>(r, d));
  floats = larger_of(floats, floats_of<CompressBackwardMemory<Operands>>(r, d, taps));
  return larger_of(floats, filter_gradient_floats<Operands>(d, taps));
}

template <class Operands>
static int64_t project_scratch_floats(int64_t r, int64_t d, int64_t heads, bool backward) {
  const int64_t floats = floats_of<ProjectMemory<Operands>>(r, d);
  if (!backward) return floats;
  return larger_of(floats, larger_of(floats_of<ProjectBackwardMemory<Operands>>(r, d, heads),
                                     floats_of<ProjectionGradientMemory<Operands>>(r, d)));
}

static int64_t inverse_scratch_floats(int64_t m, int64_t d, bool backward) {
  const int64_t floats =
      larger_of(floats_of<LandmarkProbabilitiesMemory>(m, d), floats_of<InverseMemory>(m));
  return backward ? larger_of(floats, floats_of<InverseBackwardMemory>(m)) : floats;
}

template <class Operands>
static constexpr Table table_of() {
  using Element = typename Operands::Element;
  return {
      .scratch_floats = scratch_floats<Operands>,
      .project_scratch_floats = project_scratch_floats<Operands>,
      .inverse_scratch_floats = inverse_scratch_floats,
      .means = means<Element>,
      .add_means_gradient = add_means_gradient<Element>,
      .widen = [](Rows x, int64_t n, int64_t d,
                  float* wide) { widen_rows<Element>(x, n, d, 0, n, wide); },
      .narrow = narrow<Operands>,
      .packed_floats = packed_floats<Operands>,
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
