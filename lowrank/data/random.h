// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <utility>
#include <vector>

namespace lowrank::data {

// The SplitMix64 generator, seeded by a list of numbers such as (seed, epoch, example): every
// example has a stream of its own, whatever thread or batch reads it. Specified here to the bit,
// because the results of <random>'s distributions and of std::shuffle differ between libraries.
class Random {
 public:
  explicit Random(std::initializer_list<uint64_t> seeds) {
    for (const uint64_t seed : seeds) state_ = mix(state_ + kStep + seed);
  }

  uint64_t next() {
    state_ += kStep;
    return mix(state_);
  }

  // From 0 to n - 1; off from uniform by less than n / 2^64.
  uint64_t below(uint64_t n) {
    __extension__ using Wide = unsigned __int128;
    return static_cast<uint64_t>((static_cast<Wide>(next()) * n) >> 64);
  }

  // From 0 to less than 1.
  double uniform() { return static_cast<double>(next() >> 11) * 0x1p-53; }

  template <class T>
  void shuffle(std::vector<T>& values) {
    for (size_t i = values.size(); i > 1; --i) std::swap(values[i - 1], values[below(i)]);
  }

 private:
  static constexpr uint64_t kStep = 0x9E3779B97F4A7C15;

  static uint64_t mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EB;
    return x ^ (x >> 31);
  }

  uint64_t state_ = 0;
};

}  // namespace lowrank::data
