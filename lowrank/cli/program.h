// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lowrank/cli/console.h"

namespace lowrank::cli {

// The program `lowrank`: parses `arguments` (without the program's name), runs the command that they
// name and returns the status. Every exception becomes one line on console.err.
int run_program(const std::vector<std::string>& arguments, const Console& console);

}  // namespace lowrank::cli
