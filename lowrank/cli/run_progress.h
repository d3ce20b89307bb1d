// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "lowrank/cli/progress_bar.h"
#include "lowrank/cli/stop_signal.h"

namespace lowrank::cli {

// Thrown out of a command's work when the user wants to stop.
struct Stopped {};

// The bar of a command that runs a model over texts, and its way out by Ctrl-C.
class RunProgress {
 public:
  explicit RunProgress(const Console& console);

  void expect(int64_t bytes) { bytes_ = bytes; }  // of all texts; 0: nobody knows
  void take(int64_t bytes);                       // a text of so many was read; throws Stopped
  void ran(int64_t tokens);  // a batch of so many was run; draws the bar, throws Stopped
  void print(const std::string& line) { bar_.print(line); }
  void wipe() { bar_.wipe(); }  // before anything else is written to the terminal

  int64_t tokens() const { return tokens_; }
  int64_t speed() const;  // tokens a second

 private:
  void stop_if_asked() const;

  const StopSignal stop_;
  ProgressBar bar_;
  const double start_;
  int64_t bytes_ = 0, taken_ = 0;
  int64_t tokens_ = 0;
};

}  // namespace lowrank::cli
