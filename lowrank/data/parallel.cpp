// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/parallel.h"

#include <algorithm>
#include <atomic>
#include <thread>
#include <vector>

namespace lowrank::data {

void for_each_index(int64_t count, const std::function<void(int64_t)>& work,
                    const std::function<void(int64_t, int64_t)>& progress) {
  std::atomic<int64_t> next = 0, done = 0;
  const auto run = [&](bool reports) {
    for (int64_t i = next++; i < count; i = next++) {
      work(i);
      const int64_t finished = ++done;
      if (reports) progress(finished, count);
    }
  };

  const int64_t cores = std::max<int64_t>(1, std::thread::hardware_concurrency());
  std::vector<std::jthread> others;
  for (int64_t i = 1; i < std::min(cores, count); ++i) others.emplace_back(run, false);
  run(static_cast<bool>(progress));
  others.clear();  // joins
  if (progress) progress(count, count);
}

}  // namespace lowrank::data
