// SPDX-License-Identifier: Apache-2.0
#include "lowrank/kernels/cpu/table.h"

#include "lowrank/kernels/cpu/levels.h"

namespace lowrank::kernels {
namespace {

struct Row {
  CpuLevel level;
  const Table* (*table)(Element);
};

// Best first.
constexpr Row kRows[] = {{CpuLevel::kAmx, amx_table},
                         {CpuLevel::kAvx512Bf16, avx512_bf16_table},
                         {CpuLevel::kAvx512, avx512_table},
                         {CpuLevel::kAvx2, avx2_table}};

// The best row that `level` reaches and that has kernels for `element`.
Row row_of(CpuLevel level, Element element) {
  for (const Row& row : kRows) {
    if (row.level <= level && row.table(element) != nullptr) return row;
  }
  return {CpuLevel::kScalar, scalar_table};
}

}  // namespace

const Table& table(CpuLevel level, Element element) {
  return *row_of(level, element).table(element);
}

CpuLevel table_level(CpuLevel level, Element element) { return row_of(level, element).level; }

}  // namespace lowrank::kernels
