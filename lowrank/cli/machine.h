// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "lowrank/base/config.h"

namespace lowrank::cli {

// Lines of output: a word and what is to say about it.
using Facts = std::vector<std::pair<std::string, std::string>>;
Json to_json(const Facts& facts);

// What results and times hang on: the build, LibTorch, the processor, the CPU level in force, threads.
Facts machine_facts();

std::string processor();       // its model, "unknown" where the system does not tell
std::string level_in_words();  // "avx2, lowered by LOWRANK_CPU_LEVEL from avx512"

}  // namespace lowrank::cli
