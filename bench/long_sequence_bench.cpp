// SPDX-License-Identifier: Apache-2.0
// One encoder layer on one long sequence, forward and backward: time, peak memory, and how both grow
// with the length. Width 512, 8 heads of 64, feed-forward 2,048. Each line runs in a process of its
// own, so that its peak is its own.
//
//   long_sequence_bench [LENGTH...]      default 4096 16384 65536
#include <ATen/ATen.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "lowrank/nn/encoder_layer.h"

namespace {

constexpr int kRuns = 3;
constexpr int64_t kWidth = 512;
constexpr int64_t kHeads = 8;
constexpr int64_t kLongestExact = 4096;  // beyond it exact attention takes minutes

struct Kind {
  std::string name;
  lowrank::AttentionKind kind;
};

std::vector<Kind> kinds(int64_t length) {
  std::vector<Kind> all = {
      {"nystrom, m 64, conv 33", lowrank::NystromOptions{.landmarks = 64, .conv = 33}},
      {"linformer, r 256, kv", lowrank::LinformerOptions{.projected = 256, .max_length = length}},
  };
  if (length <= kLongestExact) all.push_back({"exact", lowrank::ExactOptions{}});
  return all;
}

// Median seconds of a forward and backward pass, after one to warm up.
double measure(const lowrank::AttentionKind& kind, int64_t length) {
  lowrank::nn::EncoderLayerOptions options;
  options.attention = {.width = kWidth, .heads = kHeads, .kind = kind};
  options.feed_forward = 4 * kWidth;
  lowrank::nn::EncoderLayer layer(options);
  const at::Tensor offsets = at::tensor({int64_t{0}, length}, at::kLong);
  const at::Tensor x = at::randn({length, kWidth}).requires_grad_();
  std::vector<double> seconds;
  for (int run = 0; run <= kRuns; ++run) {
    const auto started = std::chrono::steady_clock::now();
    layer->forward(x, offsets).sum().backward();
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - started;
    if (run > 0) seconds.push_back(took.count());
  }
  std::sort(seconds.begin(), seconds.end());
  return seconds[kRuns / 2];
}

struct Result {
  double seconds = 0;
  double peak_gib = 0;
};

// Runs `measure` in a child; the result comes back through shared memory.
Result measure_alone(const lowrank::AttentionKind& kind, int64_t length) {
  auto* seconds = static_cast<double*>(
      mmap(nullptr, sizeof(double), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  const pid_t child = fork();
  if (child == 0) {
    *seconds = measure(kind, length);
    _exit(0);
  }
  int status = 0;
  rusage usage{};
  wait4(child, &status, 0, &usage);
  Result result;
  if (status == 0) result = {*seconds, static_cast<double>(usage.ru_maxrss) / (1 << 20)};
  munmap(seconds, sizeof(double));
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  std::vector<int64_t> lengths;
  for (int i = 1; i < argc; ++i) lengths.push_back(std::atoll(argv[i]));
  if (lengths.empty()) lengths = {4096, 16384, 65536};

  std::printf("%-24s %8s %12s %10s %14s\n", "attention", "n", "ms", "peak GiB", "ns a token");
  for (const int64_t length : lengths) {
    for (const Kind& entry : kinds(length)) {
      const Result result = measure_alone(entry.kind, length);
      std::printf("%-24s %8lld %12.1f %10.2f %14.0f\n", entry.name.c_str(),
                  static_cast<long long>(length), 1e3 * result.seconds, result.peak_gib,
                  1e9 * result.seconds / static_cast<double>(length));
      std::fflush(stdout);
    }
  }
  return 0;
}
