// SPDX-License-Identifier: Apache-2.0
#include "lowrank/kernels/cpu/levels.h"

#if defined(__AMX_BF16__)
#include <immintrin.h>

namespace lowrank::kernels {
namespace {

#include "lowrank/kernels/cpu/level-inl.h"

const Table kBfloat16Table = table_of<TileOperands>();

}  // namespace

// Floats have no use for this level's instructions.
const Table* amx_table(Element element) {
  return element == Element::kFloat ? nullptr : &kBfloat16Table;
}

}  // namespace lowrank::kernels

#else  // another processor, or a compiler without these instructions

namespace lowrank::kernels {

const Table* amx_table(Element) { return nullptr; }

}  // namespace lowrank::kernels

#endif
