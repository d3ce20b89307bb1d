// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace lowrank::io {

struct Curve {
  std::string name;
  std::vector<double> x, y;
};

struct LinePlot {
  std::string title, x_label, y_label;
  std::vector<Curve> curves;
  bool log_x = false, log_y = false;
};

// White is zero. Values go from white to blue; where some are negative, those go to orange, by the same
// measure. A value that is not finite has no color.
struct MatrixPlot {
  std::string title, x_label, y_label;
  std::vector<std::string> columns, rows;
  std::vector<std::vector<double>> values;  // [rows][columns]; also printed into the cells
  // [rows][columns]: printed into the cells instead, which are then as wide as the picture allows.
  std::vector<std::vector<std::string>> texts = {};
};

// Draws a PNG with gnuplot, replacing `path` atomically. False, with `reason` set, where gnuplot is
// not installed or fails: a picture is never worth failing a run for.
bool draw(const LinePlot& plot, const std::filesystem::path& path, std::string* reason = nullptr);
bool draw(const MatrixPlot& plot, const std::filesystem::path& path, std::string* reason = nullptr);

}  // namespace lowrank::io
