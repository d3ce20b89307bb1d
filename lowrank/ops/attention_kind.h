// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <variant>

#include "lowrank/ops/exact.h"
#include "lowrank/ops/linformer.h"
#include "lowrank/ops/nystrom.h"

namespace lowrank {

// The attention kinds; nn::Attention visits this once per forward.
using AttentionKind = std::variant<ExactOptions, NystromOptions, LinformerOptions>;

}  // namespace lowrank
