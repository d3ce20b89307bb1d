// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>

#include "lowrank/train/distill.h"

namespace lowrank::train {

// What an interrupted distillation needs besides the student's model directory: distill.json and
// optimizer.safetensors. docs/formats.md. Writes into an existing folder (use AtomicDirectory).
void save_distillation(const std::filesystem::path& folder, const DistillOptions& options,
                       const DistillData& data, const models::Model& teacher,
                       const DistillState& state);

// Throws Error naming the file and the rule: where nothing was interrupted in `folder`, and where options,
// sequences or teacher are not those that the run began with.
DistillState load_distillation(const std::filesystem::path& folder, const DistillOptions& options,
                               const DistillData& data, const models::Model& teacher);

}  // namespace lowrank::train
