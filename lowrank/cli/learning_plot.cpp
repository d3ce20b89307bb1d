// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/learning_plot.h"

#include <utility>

namespace lowrank::cli {

LearningPlot::LearningPlot(const std::string& title, const std::string& y_label)
    : plot_{.title = title, .x_label = "step", .y_label = y_label, .curves = {}} {}

void LearningPlot::add(const std::string& run, const std::vector<train::CurvePoint>& points,
                       const Quality& quality) {
  if (points.empty()) return;
  io::Curve curve{run, {}, {}};
  for (const train::CurvePoint& point : points) {
    curve.x.push_back(static_cast<double>(point.step));
    curve.y.push_back(quality(point));
  }
  plot_.curves.push_back(std::move(curve));
}

void LearningPlot::draw(const std::filesystem::path& file, const Console& console) const {
  cli::draw(plot_, file, console);
}

}  // namespace lowrank::cli
