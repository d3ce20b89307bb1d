// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace lowrank::cli {

// A few letters for each name, all different: prefixes, else the beginnings of words, else numbered.
std::vector<std::string> abbreviations(const std::vector<std::string>& names);

}  // namespace lowrank::cli
