// SPDX-License-Identifier: Apache-2.0
// A program of someone else's: one call of an operator and one forward of a model.
#include <ATen/ATen.h>

#include <cstdio>

#include "lowrank/models/model.h"
#include "lowrank/ops/nystrom.h"

int main() {
  const at::Tensor q = at::randn({300, 2, 16});
  const at::Tensor offsets = at::tensor({0, 200, 300}, at::kLong);
  const at::Tensor out = lowrank::nystrom_attention(q, q, q, offsets, {.landmarks = 16});

  lowrank::models::ModelConfig config;
  config.classes = {"a", "b"};
  lowrank::models::Model model(config);
  const at::Tensor tokens = at::randint(0, 256, {300}, at::kLong);
  const at::Tensor logits = model.logits({.tokens = tokens, .offsets = offsets, .segments = {}});

  const bool right = out.sizes() == q.sizes() && logits.size(0) == 2 && logits.size(1) == 2;
  std::printf("%s\n", right ? "consumer: right" : "consumer: wrong sizes");
  return right ? 0 : 1;
}
