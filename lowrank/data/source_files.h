// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "lowrank/data/rows.h"

namespace lowrank::data {

// The beginning of a file: at most max_bytes, without half a character at the end, leading comments
// stripped where asked for. Throws Error naming the file.
std::string read_source_file(const std::string& path, const DataOptions& options);

// Every file of every class, in the order of the hashes of their paths: an order that looks random
// but is the same whenever the paths are. Too short and binary files are dropped and counted.
std::vector<Row> read_source_files(const DataOptions& options, BadRows& bad, DataReport& report,
                                   const std::function<void(int64_t, int64_t)>& progress);

}  // namespace lowrank::data
