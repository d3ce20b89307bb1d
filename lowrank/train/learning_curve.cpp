// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/learning_curve.h"

#include <sstream>

#include "lowrank/base/file.h"

namespace lowrank::train {

std::vector<Json> logged_lines(const std::filesystem::path& folder, int64_t last_step) {
  std::vector<Json> kept;
  const std::filesystem::path path = folder / kMetricsFile;
  if (!std::filesystem::exists(path)) return kept;
  std::istringstream lines(read_file(path));
  for (std::string line; std::getline(lines, line);) {
    Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (json.is_discarded() || json.value("step", last_step + 1) > last_step) break;
    kept.push_back(std::move(json));
  }
  return kept;
}

std::vector<CurvePoint> learning_curve(const std::filesystem::path& folder) {
  std::vector<CurvePoint> points;
  for (const Json& line : logged_lines(folder)) {
    if (!line.contains("validation_loss")) continue;
    points.push_back({.step = line.value("step", int64_t{0}),
                      .seconds = line.value("seconds", 0.0),
                      .best = line.value("best", false),
                      .loss = line.value("validation_loss", 0.0),
                      .accuracy = line.value("validation_accuracy", 0.0),
                      .metric = line.value("metric", "accuracy"),
                      .quality = line.value("quality", 0.0)});
  }
  return points;
}

}  // namespace lowrank::train
