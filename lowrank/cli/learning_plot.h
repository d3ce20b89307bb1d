// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "lowrank/cli/picture.h"
#include "lowrank/train/learning_curve.h"

namespace lowrank::cli {

// Quality against steps, a curve a run.
class LearningPlot {
 public:
  using Quality = std::function<double(const train::CurvePoint&)>;

  LearningPlot(const std::string& title, const std::string& y_label);
  // A run that was never evaluated has no curve.
  void add(const std::string& run, const std::vector<train::CurvePoint>& points,
           const Quality& quality);
  void draw(const std::filesystem::path& file, const Console& console) const;

 private:
  io::LinePlot plot_;
};

}  // namespace lowrank::cli
