// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

namespace lowrank::cli {

// Checks of a flag's value; the help shows the rule, and a message the value and the rule.
CLI::Validator whole_number(int64_t min, int64_t max);
CLI::Validator one_of(const std::vector<std::string>& names);

}  // namespace lowrank::cli
