// SPDX-License-Identifier: Apache-2.0
// What this machine's cores can do at best, for the floors of bench/peers.py: multiply-adds of floats and of
// bfloat16 (pairs or tiles, whichever is faster), exponentials of both precisions. Compiled for the machine that
// it is built on.
//
//   machine_peaks [THREADS]      one JSON object, in units of 1e9 a second, all threads together
//
// "best" of seven rounds is what the processor can; "median" is what it gave just now, which is less where others
// share it or where it slows down under such instructions.
#include <immintrin.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <thread>
#include <vector>

#include "lowrank/base/cpu_level.h"
#include "lowrank/kernels/cpu/table.h"

namespace {

using namespace lowrank::kernels;

#include "lowrank/kernels/cpu/vector-inl.h"
//
#include "lowrank/kernels/cpu/product-inl.h"
//
#include "lowrank/kernels/cpu/elements-inl.h"
//
#if defined(__AMX_BF16__)
#include "lowrank/kernels/cpu/tiles-inl.h"
#endif

constexpr int kChains = 12;  // enough to hide the latency of any of the instructions
constexpr int64_t kSteps = 1 << 21;

using Clock = std::chrono::steady_clock;

// Keeps a register that nobody reads, and its chain of instructions, from being optimized away.
LOWRANK_INLINE void keep(Vector* value) {
#if defined(__AVX512F__)
  __asm__ volatile("" : "+v"(*value));
#else
  __asm__ volatile("" : "+x"(*value));
#endif
}

// Runs twelve chains of `step`, each in a register.
template <class Step>
LOWRANK_INLINE void run_chains(int64_t steps, Vector start, const Step& step) {
  Vector a = start, b = start, c = start, d = start, e = start, f = start, g = start, h = start,
         i = start, j = start, k = start, l = start;
  for (int64_t n = 0; n < steps; ++n) {
    a = step(a), b = step(b), c = step(c), d = step(d), e = step(e), f = step(f);
    g = step(g), h = step(h), i = step(i), j = step(j), k = step(k), l = step(l);
    keep(&a), keep(&b), keep(&c), keep(&d), keep(&e), keep(&f);
    keep(&g), keep(&h), keep(&i), keep(&j), keep(&k), keep(&l);
  }
}

void multiply_adds() {
  const Vector a = broadcast(0.999F), b = broadcast(0.001F);
  run_chains(kSteps, broadcast(1), [&](Vector x) { return x * a + b; });
}

void exponentials() {
  run_chains(kSteps / 8, broadcast(-0.5F), [](Vector x) { return -exp_of_nonpositive(x); });
}

void rough_exponentials() {
  run_chains(kSteps / 8, broadcast(-0.5F),
             [](Vector x) { return -rough_exp_of_difference(x, broadcast(0.25F)); });
}

#if defined(__AVX512BF16__)
void pair_products() {
  const __m512i one = _mm512_set1_epi32(0x3F803F80);
  run_chains(kSteps, Vector{},
             [&](Vector x) { return (Vector)_mm512_dpbf16_ps(x, (__m512bh)one, (__m512bh)one); });
}
#endif

#if defined(__AMX_BF16__)
constexpr double kTileFlops = 4.0 * 2 * kTile * kTile * 2 * kTile;  // of a step, with four sums

void tile_products() {
  const TileScope scope;
  for (int64_t step = 0; step < kSteps / 8; ++step) {
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 4, 7);
    _tile_dpbf16ps(2, 5, 6);
    _tile_dpbf16ps(3, 5, 7);
  }
}
#endif

struct Rates {
  double best, median;
};

// Of seven rounds on all threads at once, in 1e9 a second.
Rates rates(int threads, double count, const std::function<void()>& work) {
  std::array<double, 7> of_rounds = {};
  for (double& rate : of_rounds) {
    const auto start = Clock::now();
    std::vector<std::thread> others;
    for (int i = 1; i < threads; ++i) others.emplace_back(work);
    work();
    for (std::thread& other : others) other.join();
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    rate = count * threads / seconds / 1e9;
  }
  std::sort(of_rounds.begin(), of_rounds.end());
  return {of_rounds.back(), of_rounds[of_rounds.size() / 2]};
}

Rates faster(Rates a, Rates b) { return a.best >= b.best ? a : b; }

}  // namespace

int main(int argc, char** argv) {
  const int hardware = static_cast<int>(std::thread::hardware_concurrency());
  const int threads = argc > 1 ? std::max(1, std::atoi(argv[1])) : std::max(1, hardware);
  constexpr double kLaneSteps = double{kChains} * kSteps * kLanes;
  const Rates multiply_add = rates(threads, 2 * kLaneSteps, multiply_adds);
  const Rates exponential = rates(threads, kLaneSteps / 8, exponentials);
  const Rates rough = rates(threads, kLaneSteps / 8, rough_exponentials);
  Rates bfloat16 = multiply_add;
#if defined(__AVX512BF16__)
  bfloat16 = faster(bfloat16, rates(threads, 4 * kLaneSteps, pair_products));
#endif
#if defined(__AMX_BF16__)
  if (lowrank::detected_cpu_level() >= lowrank::CpuLevel::kAmx) {
    bfloat16 = faster(bfloat16, rates(threads, kTileFlops * kSteps / 8, tile_products));
  }
#endif
  const auto print = [&](const char* name, double Rates::*which) {
    std::printf(
        ", \"%s\": {\"float_flop\": %.1f, \"bfloat16_flop\": %.1f, \"exp\": %.2f, "
        "\"bfloat16_exp\": %.2f}",
        name, multiply_add.*which, bfloat16.*which, exponential.*which, rough.*which);
  };
  std::printf("{\"threads\": %d", threads);
  print("best", &Rates::best);
  print("median", &Rates::median);
  std::printf("}\n");
}
