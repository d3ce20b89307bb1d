// SPDX-License-Identifier: Apache-2.0
#include "lowrank/base/cpu_level.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <cstdlib>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"

namespace lowrank {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

class CpuLevelInForce : public ::testing::Test {
 protected:
  void SetUp() override {
    const char* level = std::getenv("LOWRANK_CPU_LEVEL");
    if (level) before_ = level;
  }
  void TearDown() override { setenv("LOWRANK_CPU_LEVEL", before_.c_str(), 1); }

 private:
  std::string before_;  // empty means the same as absent
};

TEST_F(CpuLevelInForce, IsTheDetectedOneByDefault) {
  setenv("LOWRANK_CPU_LEVEL", "", 1);
  EXPECT_EQ(cpu_level(), detected_cpu_level());
  unsetenv("LOWRANK_CPU_LEVEL");
  EXPECT_EQ(cpu_level(), detected_cpu_level());
}

TEST_F(CpuLevelInForce, IsLoweredByTheEnvironmentAndNeverRaised) {
  for (const CpuLevel level : kCpuLevels) {
    setenv("LOWRANK_CPU_LEVEL", name(level), 1);
    if (level <= detected_cpu_level()) {
      EXPECT_EQ(cpu_level(), level);
    } else {
      EXPECT_THAT([] { cpu_level(); }, ThrowsMessage<Error>(HasSubstr("this machine has scalar")));
    }
  }
}

TEST_F(CpuLevelInForce, RefusesANameThatIsNoLevel) {
  setenv("LOWRANK_CPU_LEVEL", "sse9", 1);
  EXPECT_THAT([] { cpu_level(); },
              ThrowsMessage<Error>(HasSubstr("LOWRANK_CPU_LEVEL = sse9; this machine has scalar")));
}

TEST(CpuLevelNames, AreDistinct) {
  for (const CpuLevel a : kCpuLevels) {
    for (const CpuLevel b : kCpuLevels) EXPECT_EQ(std::string(name(a)) == name(b), a == b);
  }
}

// The kernel's own view, gathered from CPUID by other code.
TEST(DetectedCpuLevel, AgreesWithWhatTheSystemReports) {
  const std::string info = read_file("/proc/cpuinfo");
  const size_t start = info.find("\nflags");
  if (start == std::string::npos) GTEST_SKIP() << "/proc/cpuinfo lists no flags.";
  const std::string flags = info.substr(start + 1, info.find('\n', start + 1) - start - 1) + " ";
  const auto has = [&](std::initializer_list<const char*> names) {
    return std::all_of(names.begin(), names.end(), [&](const char* name) {
      return flags.find(std::string(" ") + name + " ") != std::string::npos;
    });
  };
  const bool avx2 = has({"avx2", "fma", "f16c"});
  const bool avx512 = avx2 && has({"avx512f", "avx512dq", "avx512cd", "avx512bw", "avx512vl"});
  const bool bf16 = avx512 && has({"avx512_bf16"});
  const bool amx = bf16 && has({"amx_tile", "amx_bf16", "amx_int8"});
  EXPECT_EQ(detected_cpu_level(), amx      ? CpuLevel::kAmx
                                  : bf16   ? CpuLevel::kAvx512Bf16
                                  : avx512 ? CpuLevel::kAvx512
                                  : avx2   ? CpuLevel::kAvx2
                                           : CpuLevel::kScalar);
}

}  // namespace
}  // namespace lowrank
