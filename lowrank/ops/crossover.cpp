// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/crossover.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>

namespace lowrank {
namespace {

using at::Tensor;

constexpr int64_t kFewestRounds = 5, kMostRounds = 25;
constexpr double kSecondsALength = 0.2;  // for the rounds between the two bounds

// Numbers that leave LibTorch's default generator, and with it a training, as they were.
Tensor random(uint64_t seed, const AttentionShape& shape, int64_t n) {
  auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
  return at::randn({n, shape.heads, shape.head_size}, generator, at::TensorOptions(at::kFloat))
      .to(shape.device, shape.dtype);
}

// One sequence and what attends to it.
class Sequence {
 public:
  Sequence(const NystromOptions& nystrom, const AttentionShape& shape, int64_t n)
      : nystrom_(nystrom), shape_(shape), offsets_(at::tensor({int64_t{0}, n}, at::kLong)) {
    for (const uint64_t seed : {1u, 2u, 3u}) {
      qkv_.push_back(random(seed, shape, n).requires_grad_(shape.backward));
    }
    gradient_ = random(4, shape, n);
    if (nystrom.conv == 0) return;
    filter_ = at::full({shape.heads, nystrom.conv}, 1 / static_cast<double>(nystrom.conv),
                       qkv_[0].options());
    filter_.requires_grad_(shape.backward);
  }

  void attend(int64_t exact_up_to) const {
    NystromOptions options = nystrom_;
    options.exact_up_to = exact_up_to;
    const at::AutoGradMode mode(shape_.backward);
    Tensor result = nystrom_attention(qkv_[0], qkv_[1], qkv_[2], offsets_, options, filter_);
    if (shape_.backward) {
      std::vector<Tensor> inputs = qkv_;
      if (filter_.defined()) inputs.push_back(filter_);
      result = torch::autograd::grad({result}, inputs, {gradient_})[0];
    }
    if (!shape_.device.is_cpu()) result.flatten()[0].item();  // waits for the device
  }

 private:
  const NystromOptions& nystrom_;
  const AttentionShape& shape_;
  const Tensor offsets_;
  std::vector<Tensor> qkv_;
  Tensor gradient_, filter_;
};

}  // namespace

std::optional<double> overtaking_length(const std::vector<Comparison>& measured) {
  const auto slower = [](const Comparison& at) { return at.ratio >= 1; };
  const auto last = std::find_if(measured.rbegin(), measured.rend(), slower);
  if (measured.empty() || last == measured.rbegin()) return std::nullopt;
  if (last == measured.rend()) return static_cast<double>(measured.front().n);
  const Comparison &before = *last, &after = *(last - 1);
  const double share = std::log(before.ratio) / std::log(before.ratio / after.ratio);
  const double from = static_cast<double>(before.n), to = static_cast<double>(after.n);
  return from * std::pow(to / from, share);
}

Crossover find_crossover(int64_t landmarks, int64_t longest,
                         const std::function<Comparison(int64_t n)>& compare) {
  Crossover found{landmarks, {}};
  int64_t& low = found.exact_up_to;  // exact attention is as fast
  int64_t high = 0;                  // it is slower; 0: not known yet
  const auto undecided = [&] {
    return high == 0 ? low < longest : high - low > std::max(int64_t{16}, high / 8);
  };
  while (undecided()) {
    const int64_t n = high == 0 ? std::min(2 * low, longest) : (low + high) / 2;
    found.measured.push_back(compare(n));
    (found.measured.back().ratio >= 1 ? low : high) = n;
  }
  return found;
}

Crossover measure_crossover(const NystromOptions& nystrom, const AttentionShape& shape,
                            int64_t longest, const Seconds& now) {
  const auto compare = [&](int64_t n) -> Comparison {
    const Sequence sequence(nystrom, shape, n);
    const std::vector<std::function<void()>> contestants = {[&] { sequence.attend(n); },
                                                            [&] { sequence.attend(0); }};
    race(contestants, 1, now);  // starts threads and fills caches
    const RaceSeconds first = race(contestants, 1, now);
    const double most = kSecondsALength / (first[0][0] + first[1][0]);
    const auto rounds =
        static_cast<int64_t>(std::clamp(most, double{kFewestRounds}, double{kMostRounds}));
    const RaceSeconds seconds = race(contestants, rounds, now);
    return {n, quartiles(seconds[0]).median, quartiles(seconds[1]).median,
            quartiles(ratios(seconds[1], seconds[0])).median};
  };
  return find_crossover(nystrom.landmarks, std::min(longest, NystromOptions::kMostExact), compare);
}

}  // namespace lowrank
