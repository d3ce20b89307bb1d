// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace lowrank::testing {

// Inputs that the reader of this program takes, to begin with.
std::vector<std::string> seeds();

}  // namespace lowrank::testing
