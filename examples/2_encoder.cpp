// SPDX-License-Identifier: Apache-2.0
// An encoder over texts of different lengths: one vector a token, and a label a text.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <string>
#include <vector>

#include "lowrank/models/model.h"
#include "lowrank/text/tokenizer.h"

int main() {
  lowrank::models::ModelConfig config;
  config.width = 64;
  config.layers = 2;
  config.heads = 4;
  config.attention = {lowrank::NystromOptions{.landmarks = 32, .conv = 33}};
  config.classes = {"question", "statement"};
  lowrank::models::Model model(config);
  model.eval();

  const lowrank::text::ByteTokenizer tokenizer;
  std::vector<int64_t> tokens, offsets = {0};
  for (const std::string text : {"Is it long?", "It is a little longer than that.", "Yes."}) {
    const std::vector<int64_t> ids = tokenizer.encode(text);
    tokens.insert(tokens.end(), ids.begin(), ids.end());
    offsets.push_back(static_cast<int64_t>(tokens.size()));
  }
  const lowrank::models::Inputs inputs{at::tensor(tokens), at::tensor(offsets), {}};

  const at::NoGradGuard no_grad;
  const lowrank::nn::Embedded rows = model.encode(inputs);
  const at::Tensor probabilities = model.logits(inputs).softmax(1);
  fmt::print("{} tokens -> vectors [{}, {}]\n", tokens.size(), rows.x.size(0), rows.x.size(1));
  for (int64_t i = 0; i < probabilities.size(0); ++i) {
    fmt::print("text {}: {} {:.3f}\n", i, config.classes[0], probabilities[i][0].item<double>());
  }
}
