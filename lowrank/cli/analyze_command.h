// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>

#include "lowrank/cli/approximation_command.h"
#include "lowrank/cli/attention_command.h"
#include "lowrank/cli/console.h"
#include "lowrank/cli/spectrum_command.h"

namespace lowrank::cli {

// lowrank analyze spectrum|error|projection|attention
struct AnalyzeFlags {
  SpectrumFlags spectrum;
  ErrorFlags error;
  ProjectionFlags projection;
  AttentionFlags attention;
  std::function<int(const Console&)> chosen;  // set by the parser
};

void add(CLI::App& app, AnalyzeFlags& flags);
int run(const AnalyzeFlags& flags, const Console& console);

}  // namespace lowrank::cli
