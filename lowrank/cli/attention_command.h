// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lowrank/cli/console.h"

namespace CLI {
class App;
}

namespace lowrank::cli {

// lowrank analyze attention MODEL FILE: what tokens read, who reads them, and what comes of it through all
// layers.
struct AttentionFlags {
  std::string model, file;
  std::vector<int64_t> rows, columns;
  std::string rollout;           // "cls", "mean" or a place; empty: none
  std::optional<int64_t> layer;  // absent: the last
  std::optional<int64_t> head;   // absent: the mean
  std::string on_overflow = "error";
  std::string device = "cpu";
  std::string dtype = {};  // empty: the file's
  int64_t top = 12;
  bool json = false;
  std::string csv, html, png;  // empty: none
};

void add(CLI::App& app, AttentionFlags& flags);
int run(const AttentionFlags& flags, const Console& console);

}  // namespace lowrank::cli
