// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "lowrank/cli/console.h"
#include "lowrank/io/plot.h"

namespace lowrank::cli {

// Draws where a file is named and there is a curve, and tells on console.err where the picture is or why
// there is none.
void draw(const io::LinePlot& plot, const std::filesystem::path& file, const Console& console);
void draw(const io::MatrixPlot& plot, const std::filesystem::path& file, const Console& console);

}  // namespace lowrank::cli
