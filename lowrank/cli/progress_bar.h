// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>

#include "lowrank/cli/console.h"

namespace lowrank::cli {

// One line at the bottom of a terminal that is drawn over itself. Draws nothing where the console's
// err is no terminal.
class ProgressBar {
 public:
  explicit ProgressBar(const Console& console);
  ~ProgressBar();  // wipes the bar
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  // Redraws at most ten times a second, and always at 0 and 1.
  void update(double done, const std::string& text);
  // Writes a line above the bar; on a terminal and elsewhere.
  void print(const std::string& line);
  void wipe();

 private:
  void draw();

  const Console& console_;
  const bool color_;
  double done_ = 0;
  std::string text_;
  bool drawn_ = false;
  std::chrono::steady_clock::time_point last_drawn_{};
};

}  // namespace lowrank::cli
