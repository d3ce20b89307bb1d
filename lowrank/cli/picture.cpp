// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/picture.h"

#include <fmt/format.h>

#include <string>

namespace lowrank::cli {
namespace {

template <class Plot>
void draw_into(const Plot& plot, const std::filesystem::path& file, const Console& console) {
  if (file.empty()) return;
  std::string reason;
  if (io::draw(plot, file, &reason)) {
    console.err << fmt::format("picture: {}\n", file.string());
  } else {
    console.err << fmt::format("note: no picture, {}\n", reason);
  }
}

}  // namespace

void draw(const io::LinePlot& plot, const std::filesystem::path& file, const Console& console) {
  if (!plot.curves.empty()) draw_into(plot, file, console);
}

void draw(const io::MatrixPlot& plot, const std::filesystem::path& file, const Console& console) {
  draw_into(plot, file, console);
}

}  // namespace lowrank::cli
