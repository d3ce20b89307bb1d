// SPDX-License-Identifier: Apache-2.0
#include "lowrank/kernels/cpu/levels.h"

#if defined(__AVX512F__)
#include <immintrin.h>

namespace lowrank::kernels {
namespace {

#include "lowrank/kernels/cpu/level-inl.h"

const Table kFloatTable = table_of<FloatOperands<float>>();
const Table kBfloat16Table = table_of<FloatOperands<Bfloat16>>();

}  // namespace

const Table* avx512_table(Element element) {
  return element == Element::kFloat ? &kFloatTable : &kBfloat16Table;
}

}  // namespace lowrank::kernels

#else  // another processor, or a compiler without these instructions

namespace lowrank::kernels {

const Table* avx512_table(Element) { return nullptr; }

}  // namespace lowrank::kernels

#endif
