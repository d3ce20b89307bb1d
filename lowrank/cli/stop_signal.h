// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <csignal>

#include <atomic>

namespace lowrank::cli {

// While one lives, the first SIGINT or SIGTERM raises a flag and the second ends the process.
class StopSignal {
 public:
  StopSignal();
  ~StopSignal();
  StopSignal(const StopSignal&) = delete;
  StopSignal& operator=(const StopSignal&) = delete;
  const std::atomic<bool>& raised() const;

 private:
  struct sigaction old_interrupt_ {
  }, old_terminate_{};
};

}  // namespace lowrank::cli
