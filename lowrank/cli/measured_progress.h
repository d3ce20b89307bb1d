// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <string>

#include "lowrank/cli/console.h"
#include "lowrank/cli/progress_bar.h"
#include "lowrank/cli/stop_signal.h"

namespace lowrank::cli {

// The bar of a command that measures in several parts, each of which tells the share done of itself. A
// signal to stop leaves the command with status 130 through `Stopped`, which run_measurement() catches.
class MeasuredProgress {
 public:
  struct Stopped {};

  MeasuredProgress(const Console& console, size_t parts);
  // What the next part calls.
  std::function<void(double)> next(const std::string& name);
  void wipe() { bar_.wipe(); }

 private:
  const StopSignal stop_;
  ProgressBar bar_;
  const size_t parts_;
  size_t begun_ = 0;
};

// What `measure` returns, or kInterrupted where the user stopped it.
int run_measurement(const char* name, const Console& console, const std::function<int()>& measure);

}  // namespace lowrank::cli
