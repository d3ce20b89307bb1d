// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

// The border between padded and ragged tensors.
namespace lowrank {

// Which tokens of a padded batch are real, and where they go.
struct Packing {
  at::Tensor offsets;  // [b + 1] int64 on the CPU
  at::Tensor tokens;   // [total] int64, the index in [b n] of each token, in order
};

// mask undefined, [b, n] bool or [b] int64 lengths; `x` is any [b, h, n, d] of the batch.
Packing packing(const at::Tensor& mask, const at::Tensor& x);

// The tokens of x [b, h, n, d] as [total, h, d]. Padding is not read.
at::Tensor pack(const Packing& packing, const at::Tensor& x);

// The inverse: x [total, h, d] in a tensor of the sizes of `like`, zeros elsewhere.
at::Tensor unpack(const Packing& packing, const at::Tensor& x, const at::Tensor& like);

}  // namespace lowrank
