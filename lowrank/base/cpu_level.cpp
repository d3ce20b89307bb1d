// SPDX-License-Identifier: Apache-2.0
#include "lowrank/base/cpu_level.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "lowrank/base/error.h"

#ifdef __x86_64__
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

namespace lowrank {
namespace {

#ifdef __x86_64__

struct Registers {
  uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0;
};

Registers cpuid(uint32_t leaf, uint32_t subleaf) {
  Registers r;
  __get_cpuid_count(leaf, subleaf, &r.eax, &r.ebx, &r.ecx, &r.edx);
  return r;
}

bool has(uint64_t word, std::initializer_list<int> bits) {
  return std::all_of(bits.begin(), bits.end(), [&](int bit) { return (word >> bit) & 1; });
}

// The register states that the operating system saves when it switches threads. A processor's
// instruction is of no use where its registers are not among them.
uint64_t saved_states() {
  constexpr int kOsxsave = 27;
  if (!has(cpuid(1, 0).ecx, {kOsxsave})) return 0;
  uint32_t low = 0, high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t{high} << 32) | low;
}

// Linux gives tile registers, 8 KiB a thread, to processes that ask.
bool tiles_granted() {
  constexpr int kRequestPermission = 0x1023, kTileData = 18;  // asm/prctl.h: ARCH_REQ_XCOMP_PERM
  return ::syscall(SYS_arch_prctl, kRequestPermission, kTileData) == 0;
}

CpuLevel detect() {
  const uint64_t saved = saved_states();
  const Registers basic = cpuid(1, 0), extended = cpuid(7, 0), more = cpuid(7, 1);

  constexpr int kFma = 12, kF16c = 29, kAvx2 = 5;
  const bool avx2 =
      has(saved, {1, 2}) && has(basic.ecx, {kFma, kF16c}) && has(extended.ebx, {kAvx2});
  if (!avx2) return CpuLevel::kScalar;

  constexpr int kF = 16, kDq = 17, kCd = 28, kBw = 30, kVl = 31;
  const bool avx512 = has(saved, {5, 6, 7}) && has(extended.ebx, {kF, kDq, kCd, kBw, kVl});
  if (!avx512) return CpuLevel::kAvx2;

  constexpr int kBf16 = 5;
  if (!has(more.eax, {kBf16})) return CpuLevel::kAvx512;

  constexpr int kAmxBf16 = 22, kAmxTile = 24, kAmxInt8 = 25;
  const bool amx =
      has(saved, {17, 18}) && has(extended.edx, {kAmxBf16, kAmxTile, kAmxInt8}) && tiles_granted();
  return amx ? CpuLevel::kAmx : CpuLevel::kAvx512Bf16;
}

#else

CpuLevel detect() { return CpuLevel::kScalar; }

#endif

std::vector<std::string> names_up_to(CpuLevel highest) {
  std::vector<std::string> names;
  for (const CpuLevel level : kCpuLevels) {
    if (level <= highest) names.emplace_back(name(level));
  }
  return names;
}

}  // namespace

const char* name(CpuLevel level) {
  switch (level) {
    case CpuLevel::kScalar:
      return "scalar";
    case CpuLevel::kAvx2:
      return "avx2";
    case CpuLevel::kAvx512:
      return "avx512";
    case CpuLevel::kAvx512Bf16:
      return "avx512_bf16";
    case CpuLevel::kAmx:
      return "amx";
  }
  return "unknown";
}

CpuLevel detected_cpu_level() {
  static const CpuLevel level = detect();
  return level;
}

CpuLevel cpu_level() {
  const CpuLevel highest = detected_cpu_level();
  const char* wanted = std::getenv("LOWRANK_CPU_LEVEL");
  if (!wanted || !*wanted) return highest;
  for (const CpuLevel level : kCpuLevels) {
    if (level <= highest && std::string_view(wanted) == name(level)) return level;
  }
  throw Error(fmt::format("LOWRANK_CPU_LEVEL = {}; this machine has {}. Choose one of these.",
                          wanted, fmt::join(names_up_to(highest), ", ")));
}

}  // namespace lowrank
