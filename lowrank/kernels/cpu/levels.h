// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lowrank/kernels/cpu/table.h"

// One function for each level that has kernels of its own; null where it has none for the element.
namespace lowrank::kernels {

const Table* scalar_table(Element element);
const Table* avx2_table(Element element);
const Table* avx512_table(Element element);
const Table* avx512_bf16_table(Element element);
const Table* amx_table(Element element);

}  // namespace lowrank::kernels
