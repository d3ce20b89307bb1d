// SPDX-License-Identifier: Apache-2.0
#include "lowrank/base/race.h"

#include <algorithm>
#include <chrono>
#include <cmath>

namespace lowrank {

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

RaceSeconds race(const std::vector<std::function<void()>>& contestants, int64_t rounds,
                 const Seconds& now) {
  RaceSeconds seconds(contestants.size());
  for (int64_t round = 0; round < rounds; ++round) {
    for (size_t i = 0; i < contestants.size(); ++i) {
      const double start = now();
      contestants[i]();
      seconds[i].push_back(now() - start);
    }
  }
  return seconds;
}

std::vector<double> ratios(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> result;
  for (size_t i = 0; i < a.size(); ++i) result.push_back(a[i] / b[i]);
  return result;
}

Quartiles quartiles(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const auto at = [&](double share) {
    const double place = share * static_cast<double>(values.size() - 1);
    const auto below = static_cast<size_t>(place);
    const size_t above = std::min(below + 1, values.size() - 1);
    return std::lerp(values[below], values[above], place - std::floor(place));
  };
  return {at(0.25), at(0.5), at(0.75)};
}

}  // namespace lowrank
