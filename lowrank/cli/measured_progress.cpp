// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/measured_progress.h"

#include <fmt/format.h>

namespace lowrank::cli {

MeasuredProgress::MeasuredProgress(const Console& console, size_t parts)
    : bar_(console), parts_(parts) {}

std::function<void(double)> MeasuredProgress::next(const std::string& name) {
  const double before = static_cast<double>(begun_++);
  return [this, before, name](double done) {
    if (stop_.raised()) throw Stopped();
    bar_.update((before + done) / static_cast<double>(parts_), name);
  };
}

int run_measurement(const char* name, const Console& console, const std::function<int()>& measure) {
  try {
    return measure();
  } catch (const MeasuredProgress::Stopped&) {
    console.err << fmt::format("lowrank analyze {}: interrupted; nothing was written.\n", name);
    return kInterrupted;
  }
}

}  // namespace lowrank::cli
