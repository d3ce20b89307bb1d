// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <string>

namespace lowrank {

// The instruction sets that CPU kernels come in, each containing the one before it.
enum class CpuLevel { kScalar, kAvx2, kAvx512, kAvx512Bf16, kAmx };

inline constexpr std::array kCpuLevels = {CpuLevel::kScalar, CpuLevel::kAvx2, CpuLevel::kAvx512,
                                          CpuLevel::kAvx512Bf16, CpuLevel::kAmx};

// "scalar", "avx2", "avx512", "avx512_bf16", "amx".
const char* name(CpuLevel level);

// The highest level that this processor and its operating system offer. AMX counts only when the
// system grants tile data to this process.
CpuLevel detected_cpu_level();

// The level in force: detected_cpu_level(), lowered by the environment's LOWRANK_CPU_LEVEL.
// Throws Error when that names no level, or one that this machine lacks.
CpuLevel cpu_level();

}  // namespace lowrank
