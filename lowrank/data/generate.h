// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <vector>

#include "lowrank/data/images.h"
#include "lowrank/data/listops.h"
#include "lowrank/data/pathfinder.h"

namespace lowrank::data {

// Examples of each split, and what they are drawn from: the files are the same, byte for byte, for the same
// sizes, options and seed, whatever the number of cores. (Pathfinder asks the C library for sines, whose last
// bit may differ between libraries.)
struct GeneratedSize {
  int64_t train = 0, validation = 0, test = 0;
  uint64_t seed = 1;
};

using GenerateProgress = std::function<void(int64_t done, int64_t total)>;

// Writes basic_train.tsv, basic_val.tsv and basic_test.tsv into `folder`, as Long Range Arena names them: a
// line "Source TAB Target", then an expression and its value a line. No expression occurs twice. Throws
// Error where the options do not let enough of them through.
void write_listops(const std::filesystem::path& folder, const GeneratedSize& size,
                   const ListOpsOptions& options, const GenerateProgress& progress = {});

// Writes train.bin, validation.bin and test.bin into `folder`: gray_record()s, whose label is 1 where both
// markers lie on one path. Each split has as many of either kind, give or take one.
void write_pathfinder(const std::filesystem::path& folder, const GeneratedSize& size,
                      const PathfinderOptions& options, const GenerateProgress& progress = {});

// The first images of a file, at most `columns` times `columns`, in columns on one gray sheet with a line of
// two pixels between: what a person looks at.
struct ImageSheet {
  std::vector<uint8_t> pixels = {};
  int64_t width = 0;
};
ImageSheet sheet_of(const std::filesystem::path& images, int64_t columns);

}  // namespace lowrank::data
