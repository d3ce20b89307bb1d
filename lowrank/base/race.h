// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace lowrank {

// A clock: seconds since some moment.
using Seconds = std::function<double()>;
double steady_seconds();

// The seconds that each contestant took in each round, [contestants][rounds]. In a round every
// contestant runs once, in order: what else the machine does then slows all of them, so that ratios
// inside a round hold where the times themselves do not.
using RaceSeconds = std::vector<std::vector<double>>;
RaceSeconds race(const std::vector<std::function<void()>>& contestants, int64_t rounds,
                 const Seconds& now = steady_seconds);

// a[i] / b[i]
std::vector<double> ratios(const std::vector<double>& a, const std::vector<double>& b);

// Of values in any order, at least one; a quartile between two values is interpolated.
struct Quartiles {
  double lower = 0, median = 0, upper = 0;
};
Quartiles quartiles(std::vector<double> values);

}  // namespace lowrank
