// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>

namespace lowrank::cli {

// Text on one line: control characters and bytes that are no UTF-8 become \n, \t, \r or \xNN.
std::string escaped(std::string_view text);

}  // namespace lowrank::cli
