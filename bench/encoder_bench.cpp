// SPDX-License-Identifier: Apache-2.0
// Our side of encoder_peers.py. Makes one thing, writes "ready", and then, for each line that it
// reads, does it once and writes the seconds.
//
//   encoder_bench layer nystrom|exact N float32|bfloat16 FILE
//       Inference of one post-LN layer of width 768, 12 heads, on x [N, 768]. FILE, safetensors, holds x
//       and the layer's parameters; the output is written beside it as FILE.out.
//   encoder_bench train nystrom|exact N float32|bfloat16
//       A training step of a classifier on one sequence: 6 pre-LN layers of width 384, 6 heads.
//       bfloat16 means autocast, as in `lowrank train`.
#include <ATen/ATen.h>

#include <chrono>
#include <cstdio>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "lowrank/io/safetensors.h"
#include "lowrank/models/model.h"
#include "lowrank/train/autocast.h"
#include "lowrank/train/optimizer.h"

namespace {

using namespace lowrank;

constexpr int64_t kTaps = 33;

AttentionKind kind_of(const std::string& name) {
  if (name == "exact") return ExactOptions{};
  return NystromOptions{.landmarks = 64, .conv = kTaps};
}

// Writes the output once; returns what to time.
std::function<void()> inference(const std::string& kind, at::ScalarType dtype,
                                const std::string& file) {
  const io::NamedTensors stored = io::load_safetensors(file);
  const std::map<std::string, at::Tensor> tensors(stored.begin(), stored.end());
  const at::NoGradGuard no_grad;
  nn::EncoderLayer layer(
      nn::EncoderLayerOptions{.attention = {.width = 768, .heads = 12, .kind = kind_of(kind)},
                              .feed_forward = 3072,
                              .norm = nn::NormPosition::kPost,
                              .norm_epsilon = 1e-12});
  for (auto& parameter : layer->named_parameters()) parameter->copy_(tensors.at(parameter.key()));
  layer->to(dtype);
  layer->eval();
  const at::Tensor x = tensors.at("x").to(dtype);
  const at::Tensor offsets = at::tensor({int64_t{0}, x.size(0)}, at::kLong);
  io::save_safetensors(file + ".out", {{"y", layer(x, offsets).to(at::kFloat)}});
  return [=]() mutable {
    const at::NoGradGuard inner_no_grad;
    layer(x, offsets);
  };
}

std::function<void()> training(const std::string& kind, at::ScalarType dtype, int64_t n) {
  models::ModelConfig config;
  config.width = 384;
  config.layers = 6;
  config.heads = 6;
  config.feed_forward = 1536;
  config.attention = {kind_of(kind)};
  config.embeddings.max_positions = n;
  config.classes = {"a", "b"};
  auto model = std::make_shared<models::Model>(config);
  auto optimizer = std::make_shared<train::AdamW>(*model, train::TrainOptions{});
  const models::Inputs inputs{.tokens = at::randint(0, 256, {n}, at::kLong),
                              .offsets = at::tensor({int64_t{0}, n}, at::kLong),
                              .segments = {}};
  const at::Tensor label = at::tensor({int64_t{1}}, at::kLong);
  const auto precision =
      dtype == at::kBFloat16 ? train::Precision::kBfloat16 : train::Precision::kFloat32;
  return [=] {
    optimizer->zero_grad();
    at::Tensor loss;
    {
      const train::Autocast autocast(at::kCPU, precision);
      loss = model->loss(inputs, label);
    }
    loss.backward();
    optimizer->step(1.0);
  };
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> words(argv + 1, argv + argc);
  const bool layer = words.size() == 5 && words[0] == "layer";
  if (!layer && !(words.size() == 4 && words[0] == "train")) {
    std::fprintf(stderr, "usage: encoder_bench layer|train nystrom|exact N DTYPE [FILE]\n");
    return 2;
  }
  const at::ScalarType dtype = words[3] == "bfloat16" ? at::kBFloat16 : at::kFloat;
  const std::function<void()> run = layer ? inference(words[1], dtype, words[4])
                                          : training(words[1], dtype, std::stoll(words[2]));
  run();
  run();
  std::cout << "ready" << std::endl;
  for (std::string line; std::getline(std::cin, line);) {
    const auto started = std::chrono::steady_clock::now();
    run();
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - started;
    std::cout << seconds.count() << std::endl;
  }
  return 0;
}
