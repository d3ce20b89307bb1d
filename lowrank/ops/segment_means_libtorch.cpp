// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include "lowrank/ops/libtorch.h"
#include "lowrank/ops/matrix.h"
#include "lowrank/ops/tasks.h"

namespace lowrank::libtorch {

Tensor segment_means(const Tensor& x, const Tensor& offsets, int64_t landmarks) {
  const std::vector<Rows> sequences = read_offsets(offsets);
  const int64_t b = static_cast<int64_t>(sequences.size());
  const Tensor x_nc = x.reshape({x.size(0), c10::multiply_integers(x.sizes().slice(1))});
  const Tensor out = at::zeros({b * landmarks, x_nc.size(1)}, x.options());
  for_each_part(sequences, column_blocks(x_nc), [&](size_t i, int64_t block) {
    const int64_t segments = std::min(landmarks, sequences[i].count);
    if (segments == 0) return;
    const Rows rows{landmarks * static_cast<int64_t>(i), segments};
    store_columns(out, rows, block, means(load_columns(x_nc, sequences[i], block), segments));
  });
  std::vector<int64_t> sizes = {b, landmarks};
  sizes.insert(sizes.end(), x.sizes().begin() + 1, x.sizes().end());
  return out.view(sizes);
}

Tensor segment_means_backward(const Tensor& gradient, const Tensor& offsets, int64_t total) {
  const std::vector<Rows> sequences = read_offsets(offsets);
  const int64_t b = gradient.size(0), landmarks = gradient.size(1);
  const Tensor grad_mc =
      gradient.reshape({b * landmarks, c10::multiply_integers(gradient.sizes().slice(2))});
  const Tensor grad_x = at::zeros({total, grad_mc.size(1)}, gradient.options());
  for_each_part(sequences, column_blocks(grad_x), [&](size_t i, int64_t block) {
    const int64_t segments = std::min(landmarks, sequences[i].count);
    if (segments == 0) return;
    const Rows rows{landmarks * static_cast<int64_t>(i), segments};
    store_columns(grad_x, sequences[i], block,
                  means_gradient(load_columns(grad_mc, rows, block), sequences[i].count));
  });
  std::vector<int64_t> sizes = {total};
  sizes.insert(sizes.end(), gradient.sizes().begin() + 2, gradient.sizes().end());
  return grad_x.view(sizes);
}

}  // namespace lowrank::libtorch
