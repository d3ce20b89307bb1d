// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lowrank/data/rows.h"

namespace lowrank::data {

// The rows of options.task in options.folder; a test set without labels has rows that say so.
SplitRows read_glue(const DataOptions& options, BadRows& bad);

// The labels of the task in order; one is the name of a number.
std::vector<std::string> glue_classes(const std::string& task);

}  // namespace lowrank::data
