// SPDX-License-Identifier: Apache-2.0
// Nystrom attention over a ragged batch, beside the exact attention that it approximates.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include "lowrank/ops/exact.h"
#include "lowrank/ops/nystrom.h"

int main() {
  // Two sequences of 3,000 and 1,000 tokens, one after the other: no padding. Neighboring tokens are
  // alike, as in real input: a walk of small random steps.
  at::manual_seed(0);
  const int64_t heads = 2, head_size = 32;
  const at::Tensor offsets = at::tensor({0, 3000, 4000}, at::kLong);
  const auto walk = [&] { return at::randn({4000, heads, head_size}).mul(0.03).cumsum(0); };
  const at::Tensor q = walk(), k = walk(), v = walk();

  const at::Tensor exact = lowrank::exact_attention(q, k, v, offsets);
  double last = 2;
  for (const int64_t landmarks : {8, 32, 128}) {
    const at::Tensor out =
        lowrank::nystrom_attention(q, k, v, offsets, {.landmarks = landmarks, .inverse_steps = 12});
    const double error = ((out - exact).norm() / exact.norm()).item<double>();
    fmt::print("{:3} landmarks: relative error {:.4f}\n", landmarks, error);
    if (!(error < last)) return 1;  // more landmarks come closer
    last = error;
  }
}
