// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

namespace lowrank::cli {

// How quantities are written for people.
std::string grouped(int64_t value);  // 1234567 -> "1,234,567"
std::string counted(int64_t value,
                    const char* what);                // "1 file", "2 files": `what` is the singular
std::string percent(double share, int decimals = 1);  // 0.9612 -> "96.1 %"
std::string duration(double seconds);                 // 75 -> "1 min 15 s"

}  // namespace lowrank::cli
