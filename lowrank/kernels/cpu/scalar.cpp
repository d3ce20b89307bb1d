// SPDX-License-Identifier: Apache-2.0
#include "lowrank/kernels/cpu/levels.h"

#if defined(__SSE__)
#include <immintrin.h>
#endif

namespace lowrank::kernels {
namespace {

#include "lowrank/kernels/cpu/level-inl.h"

const Table kFloatTable = table_of<FloatOperands<float>>();
const Table kBfloat16Table = table_of<FloatOperands<Bfloat16>>();

}  // namespace

const Table* scalar_table(Element element) {
  return element == Element::kFloat ? &kFloatTable : &kBfloat16Table;
}

}  // namespace lowrank::kernels
