// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

namespace lowrank {

// Which implementation an op takes, and why none above it in the list.
struct KernelChoice {
  std::string op;     // "nystrom_attention"
  std::string taken;  // "libtorch", or "cpu avx512": the kernels of that CPU level
  std::vector<std::pair<std::string, std::string>>
      refused;  // name and reason, in order of preference
};

// The choice of every op for tensors of this device and dtype, in a fixed order. The environment's
// LOWRANK_REFERENCE=1 makes each op take its reference.
std::vector<KernelChoice> describe_dispatch(c10::DeviceType device, c10::ScalarType dtype);

}  // namespace lowrank
