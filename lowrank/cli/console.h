// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <istream>
#include <ostream>

namespace lowrank::cli {

// Where a command reads and writes. The program passes the process's streams, a test its own.
struct Console {
  std::istream& in;
  std::ostream& out;             // data
  std::ostream& err;             // everything else
  bool err_is_terminal = false;  // progress bars, and color unless NO_COLOR is set
};

// What a command returns.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kMisused = 2;
inline constexpr int kInterrupted = 130;  // with the state saved

}  // namespace lowrank::cli
