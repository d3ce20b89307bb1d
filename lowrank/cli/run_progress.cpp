// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/run_progress.h"

#include <fmt/format.h>

#include <algorithm>

#include "lowrank/base/race.h"
#include "lowrank/cli/quantity.h"

namespace lowrank::cli {

RunProgress::RunProgress(const Console& console) : bar_(console), start_(steady_seconds()) {}

void RunProgress::take(int64_t bytes) {
  stop_if_asked();
  taken_ += bytes;
}

void RunProgress::ran(int64_t tokens) {
  tokens_ += tokens;
  const double done = bytes_ > 0 ? static_cast<double>(taken_) / static_cast<double>(bytes_) : 0;
  bar_.update(done, fmt::format("{}  {} tokens/s", counted(tokens_, "token"), grouped(speed())));
  stop_if_asked();
}

int64_t RunProgress::speed() const {
  const double seconds = std::max(steady_seconds() - start_, 1e-9);
  return static_cast<int64_t>(static_cast<double>(tokens_) / seconds);
}

void RunProgress::stop_if_asked() const {
  if (stop_.raised()) throw Stopped();
}

}  // namespace lowrank::cli
