// SPDX-License-Identifier: Apache-2.0
// Seconds a training step of the quickstart's model on one batch, as JSON: one side of
// training_peer.py, which describes the model.
//
//   training_bench STEPS LENGTH...
#include <ATen/ATen.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <vector>

#include "lowrank/models/model.h"
#include "lowrank/train/optimizer.h"

namespace {

lowrank::models::ModelConfig quickstart_model() {
  lowrank::models::ModelConfig config;
  config.embeddings.kind = lowrank::nn::EmbeddingKind::kNgrams;
  config.embeddings.patch = 8;
  config.attention = {lowrank::NystromOptions{.landmarks = 64, .conv = 33}};
  for (int i = 0; i < 12; ++i) config.classes.push_back("class " + std::to_string(i));
  return config;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: training_bench STEPS LENGTH...\n");
    return 2;
  }
  const int steps = std::atoi(argv[1]);
  std::vector<int64_t> offsets = {0};
  std::vector<int64_t> labels;
  for (int i = 2; i < argc; ++i) {
    offsets.push_back(offsets.back() + std::atoll(argv[i]));
    labels.push_back((i - 2) % 12);
  }
  const lowrank::models::Inputs inputs{
      .tokens = at::randint(0, 256, {offsets.back()}, at::kLong),
      .offsets = at::tensor(offsets, at::kLong),
      .segments = {},
  };
  const at::Tensor targets = at::tensor(labels, at::kLong);

  lowrank::models::Model model(quickstart_model());
  lowrank::train::AdamW optimizer(model, {.learning_rate = 2e-3});
  const auto step = [&] {
    optimizer.zero_grad();
    model.loss(inputs, targets).backward();
    optimizer.clip(1.0);
    optimizer.step(1.0);
  };
  for (int i = 0; i < 3; ++i) step();
  const auto started = std::chrono::steady_clock::now();
  for (int i = 0; i < steps; ++i) step();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
  std::printf("{\"seconds\": %.6f}\n", seconds.count() / steps);
  return 0;
}
