// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/measured_progress.h"

#include <fmt/format.h>

namespace lowrank::cli {
namespace {

template <class Plot>
void draw_into(const Plot& plot, const std::string& file, const Console& console) {
  if (file.empty()) return;
  std::string reason;
  if (io::draw(plot, file, &reason)) {
    console.err << fmt::format("picture: {}\n", file);
  } else {
    console.err << fmt::format("note: no picture, {}\n", reason);
  }
}

}  // namespace

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

void draw(const io::LinePlot& plot, const std::string& file, const Console& console) {
  draw_into(plot, file, console);
}

void draw(const io::MatrixPlot& plot, const std::string& file, const Console& console) {
  draw_into(plot, file, console);
}

}  // namespace lowrank::cli
