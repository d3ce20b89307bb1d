// SPDX-License-Identifier: Apache-2.0
// Each CPU kernel alone, on one thread: 12 heads of 64 side by side as a layer gives them, 4,096 tokens, 64
// landmarks or 256 projected rows, 33 taps. Prints multiply-adds a second, counted twice as usual, and
// ticks of the processor's clock counter for each token and head.
//
//   kernels_bench [--benchmark_filter=float32]      LOWRANK_CPU_LEVEL lowers the level
#include <benchmark/benchmark.h>

#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "lowrank/kernels/cpu/table.h"

namespace {

using namespace lowrank;
using namespace lowrank::kernels;

constexpr int64_t kHeads = 12, kSize = 64, kRows = 4096, kLandmarks = 64, kProjected = 256;
constexpr int64_t kTaps = 33, kSteps = 6;
constexpr int64_t kTogether = 3;  // heads of a projection
constexpr float kScale = 0.125F;
constexpr Chunk kAll = {0, kRows};

int64_t clock_ticks() {
#if defined(__x86_64__)
  return static_cast<int64_t>(__builtin_ia32_rdtsc());
#else
  return 0;
#endif
}

// Floats on a cache line, N(0, 1).
class Floats {
 public:
  explicit Floats(int64_t count)
      : values_(static_cast<float*>(std::aligned_alloc(64, static_cast<size_t>(padded(count)) * 4)),
                std::free) {
    static std::mt19937 random(1);
    std::normal_distribution<float> normal;
    for (int64_t i = 0; i < count; ++i) values_.get()[i] = normal(random);
  }
  float* at() const { return values_.get(); }

 private:
  std::unique_ptr<float, decltype(&std::free)> values_;
};

// Rows of an element type, [rows, heads, columns].
class Elements {
 public:
  Elements(Element element, int64_t rows, int64_t columns)
      : stride_(columns), bytes_(element == Element::kFloat ? 4 : 2), floats_(rows * columns) {
    if (element == Element::kFloat) return;
    auto* halves = reinterpret_cast<char*>(floats_.at());
    for (int64_t i = 0; i < rows * columns; ++i) {
      std::memcpy(halves + 2 * i, reinterpret_cast<char*>(floats_.at() + i) + 2, 2);
    }
  }
  Rows rows(int64_t head = 0) const { return {begin_of(head), stride_}; }
  WritableRows writable(int64_t head) const { return {begin_of(head), stride_}; }

 private:
  char* begin_of(int64_t head) const {
    return reinterpret_cast<char*>(floats_.at()) + head * kSize * bytes_;
  }
  int64_t stride_, bytes_;
  Floats floats_;
};

// What all kernels of one element type work on.
struct Workplace {
  explicit Workplace(Element element)
      : t(table(cpu_level(), element)),
        q(element, kRows, kHeads * kSize),
        k(element, kRows, kHeads * kSize),
        v(element, kRows, kHeads * kSize),
        gradient(element, kRows, kHeads * kSize),
        out(element, kRows, kHeads * kSize),
        out_2(element, kRows, kHeads * kSize),
        e(element, kProjected, kRows) {
    t.pack(means.at(), key_means.at(), kLandmarks, kSize, kScale, true, packed.at());
    t.pack(projected.at(), projected.at(), kProjected, kSize, kScale, true, wide_packed.at());
    t.landmark_probabilities(means.at(), key_means.at(), kLandmarks, kSize, kScale, a.at(),
                             small_scratch.at());
    t.inverse(a.at(), kLandmarks, kSteps, true, inverses.at(), small_scratch.at());
    for (int64_t i = 0; i < kLandmarks; ++i) bv.largest[i] = 4, bv.sum[i] = 1;
  }
  Packed landmarks() const { return {kLandmarks, kSize, packed.at()}; }
  Packed projections() const { return {kProjected, kSize, wide_packed.at()}; }
  Convolution convolution(const Elements& x, int64_t head) const {
    return {x.rows(head), kRows, filter.at(), kTaps};
  }

  const Table& t;
  Elements q, k, v, gradient, out, out_2, e;
  Floats filter{kTaps}, filter_gradient{kTaps};
  Floats means{kLandmarks * kSize}, key_means{kLandmarks * kSize}, delta{kLandmarks};
  Floats projected{kProjected * kSize}, grad_k{kProjected * kSize}, grad_v{kProjected * kSize};
  Floats sums{kTogether * kProjected * kSize};
  Floats packed{t.packed_floats(kLandmarks, kSize, true)};
  Floats wide_packed{t.packed_floats(kProjected, kSize, true)};
  Floats a{kLandmarks * kLandmarks}, grad_a{kLandmarks * kLandmarks};
  Floats inverses{(kSteps + 1) * kLandmarks * kLandmarks}, grad_z{kLandmarks * kLandmarks};
  Floats grad_e{kProjected * kRows};
  Floats compressed{kLandmarks * (kSize + 2)};
  Compressed bv{compressed.at(), compressed.at() + kLandmarks, compressed.at() + 2 * kLandmarks};
  Floats scratch{t.scratch_floats(kProjected, kSize, kTaps, true)};
  Floats project_scratch{t.project_scratch_floats(kProjected, kSize, kTogether, true)};
  Floats small_scratch{t.inverse_scratch_floats(kLandmarks, kSize, true)};
};

struct Kernel {
  std::string name;
  double flops;  // of one head
  std::function<void(const Workplace&, int64_t head)> run;
  int64_t together = 1;  // heads of a call
};

std::vector<Kernel> all_kernels() {
  const double thin = 2.0 * kRows * kLandmarks * kSize, wide = 2.0 * kRows * kProjected * kSize;
  const double convolution = 2.0 * kRows * kTaps * kSize;
  const double cube = 2.0 * kLandmarks * kLandmarks * kLandmarks;
  using W = const Workplace&;
  return {
      {"means", 0,
       [](W w, int64_t h) {
         w.t.means(w.q.rows(h), {kRows, kLandmarks}, kSize, w.grad_k.at());
       }},
      {"inverse", 4 * kSteps * cube,
       [](W w, int64_t) {
         w.t.inverse(w.a.at(), kLandmarks, kSteps, true, w.inverses.at(), w.small_scratch.at());
       }},
      {"inverse_backward", 11 * kSteps * cube,
       [](W w, int64_t) {
         w.t.inverse_backward(w.a.at(), w.inverses.at(), kLandmarks, kSteps, w.grad_z.at(),
                              w.grad_a.at(), w.small_scratch.at());
       }},
      {"compress", 2 * thin,
       [](W w, int64_t h) {
         w.t.compress(w.k.rows(h), w.v.rows(h), kRows, kAll, w.landmarks(), w.bv, w.grad_k.at(),
                      w.scratch.at());
       }},
      {"attend", 2 * thin,
       [](W w, int64_t h) {
         w.t.attend(w.q.rows(h), kAll, w.landmarks(), {}, w.out.writable(h), w.scratch.at());
       }},
      {"attend_with_convolution", 2 * thin + convolution,
       [](W w, int64_t h) {
         w.t.attend(w.q.rows(h), kAll, w.landmarks(), w.convolution(w.v, h), w.out.writable(h),
                    w.scratch.at());
       }},
      {"attend_backward", 5 * thin,
       [](W w, int64_t h) {
         w.t.attend_backward(w.gradient.rows(h), w.q.rows(h), kAll, w.landmarks(),
                             w.out.writable(h), w.grad_k.at(), w.grad_v.at(), w.scratch.at());
       }},
      {"compress_backward", 5 * thin + convolution,
       [](W w, int64_t h) {
         w.t.compress_backward(w.k.rows(h), w.v.rows(h), kRows, kAll, w.landmarks(), w.bv,
                               w.delta.at(), w.means.at(), w.convolution(w.gradient, h),
                               w.out.writable(h), w.out_2.writable(h), w.grad_k.at(),
                               w.scratch.at());
       }},
      {"filter_gradient", convolution,
       [](W w, int64_t h) {
         w.t.filter_gradient(w.gradient.rows(h), w.convolution(w.v, h), kSize, kAll,
                             w.filter_gradient.at(), w.scratch.at());
       }},
      {"project", wide,
       [](W w, int64_t h) {
         const Rows heads[kTogether] = {w.k.rows(h), w.k.rows(h + 1), w.k.rows(h + 2)};
         w.t.project(w.e.rows(), kProjected, heads, kTogether, kSize, kAll, w.sums.at(),
                     w.project_scratch.at());
       },
       kTogether},
      {"attend_256", 2 * wide,
       [](W w, int64_t h) {
         w.t.attend(w.q.rows(h), kAll, w.projections(), {}, w.out.writable(h), w.scratch.at());
       }},
      {"attend_256_backward", 5 * wide,
       [](W w, int64_t h) {
         w.t.attend_backward(w.gradient.rows(h), w.q.rows(h), kAll, w.projections(),
                             w.out.writable(h), w.grad_k.at(), w.grad_v.at(), w.scratch.at());
       }},
      {"project_backward", wide,
       [](W w, int64_t h) {
         const WritableRows heads[kTogether] = {w.out.writable(h), w.out.writable(h + 1),
                                                w.out.writable(h + 2)};
         w.t.project_backward(w.e.rows(), kProjected, w.sums.at(), kTogether, kSize, kAll, heads,
                              w.project_scratch.at());
       },
       kTogether},
      {"projection_gradient", wide,
       [](W w, int64_t h) {
         w.t.projection_gradient(w.projected.at(), kProjected, w.k.rows(h), kSize, kAll,
                                 w.grad_e.at(), kRows, w.project_scratch.at());
       }},
  };
}

void run(benchmark::State& state, const Kernel& kernel, Element element) {
  const auto workplace = std::make_unique<Workplace>(element);
  int64_t ticks = 0;
  for (auto _ : state) {
    const int64_t started = clock_ticks();
    for (int64_t h = 0; h < kHeads; h += kernel.together) kernel.run(*workplace, h);
    ticks += clock_ticks() - started;
  }
  const auto heads = static_cast<double>(state.iterations() * kHeads);
  state.counters["flop/s"] = benchmark::Counter(heads * kernel.flops, benchmark::Counter::kIsRate);
  state.counters["ticks/(token*head)"] = static_cast<double>(ticks) / heads / kRows;
  state.SetLabel(name(table_level(cpu_level(), element)));
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<Kernel> kernels = all_kernels();
  for (const auto& [element, type] :
       {std::pair{Element::kFloat, "float32"}, std::pair{Element::kBfloat16, "bfloat16"}}) {
    for (const Kernel& kernel : kernels) {
      benchmark::RegisterBenchmark((std::string(type) + "/" + kernel.name).c_str(), run, kernel,
                                   element)
          ->Unit(benchmark::kMillisecond);
    }
  }
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}
