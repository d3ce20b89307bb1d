// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/schedule.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace lowrank::train {
namespace {

constexpr double kOneCycleStart = 1.0 / 25;
constexpr double kOneCycleEnd = kOneCycleStart / 10000;

double line(double from, double to, double share) { return from + (to - from) * share; }

}  // namespace

double rate_share(const TrainOptions& options, double done) {
  const double share = std::clamp(done, 0.0, 1.0);
  const bool one_cycle = options.schedule == Schedule::kOneCycle;
  if (share < options.warmup) {
    return line(one_cycle ? kOneCycleStart : 0, 1, share / options.warmup);
  }
  // Where warm-up is the whole run, its end is the peak.
  const double fallen = options.warmup < 1 ? (share - options.warmup) / (1 - options.warmup) : 0;
  switch (options.schedule) {
    case Schedule::kConstant:
      return 1;
    case Schedule::kLinear:
      return line(1, options.final_rate, fallen);
    case Schedule::kCosine:
      return line(options.final_rate, 1, 0.5 * (1 + std::cos(std::numbers::pi * fallen)));
    case Schedule::kOneCycle:
      return line(1, std::max(options.final_rate, kOneCycleEnd), fallen);
  }
  return 1;
}

}  // namespace lowrank::train
