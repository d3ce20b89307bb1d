// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>

namespace lowrank::data {

// Calls work(i) once for every i from 0 to count - 1 on all cores, in any order. `progress`
// (optional) gets (done, count) on the calling thread. `work` must not throw.
void for_each_index(int64_t count, const std::function<void(int64_t)>& work,
                    const std::function<void(int64_t, int64_t)>& progress = {});

}  // namespace lowrank::data
