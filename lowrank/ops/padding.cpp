// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/padding.h"

#include <ATen/ATen.h>

namespace lowrank {

using at::Tensor;

Packing packing(const Tensor& mask, const Tensor& x) {
  const int64_t b = x.size(0), n = x.size(2);
  const at::TensorOptions integers = x.options().dtype(at::kLong);
  Tensor real;  // [b, n] bool
  if (!mask.defined()) {
    real = at::ones({b, n}, x.options().dtype(at::kBool));
  } else if (mask.scalar_type() == at::kLong) {
    real = at::arange(n, integers).unsqueeze(0) < mask.to(x.device()).unsqueeze(1);
  } else {
    real = mask.to(x.device());
  }
  const Tensor offsets = at::zeros({b + 1}, integers);
  offsets.narrow(0, 1, b).copy_(real.sum(1).cumsum(0));
  return {offsets.cpu(), real.flatten().nonzero().squeeze(1)};
}

Tensor pack(const Packing& packing, const Tensor& x) {
  return x.transpose(1, 2).flatten(0, 1).index_select(0, packing.tokens);
}

Tensor unpack(const Packing& packing, const Tensor& x, const Tensor& like) {
  const int64_t b = like.size(0), h = like.size(1), n = like.size(2), d = like.size(3);
  const Tensor rows = at::zeros({b * n, h, d}, x.options()).index_copy_(0, packing.tokens, x);
  return rows.view({b, n, h, d}).transpose(1, 2).contiguous();
}

}  // namespace lowrank
