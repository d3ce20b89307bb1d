// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lowrank {

// The tensor that Nystrom attention's forward fills for its backward (signatures.h), unset:
// [sequences, h, m, d + 2] in the compute dtype, B v and its rows' largest score and inverse sum. Its size
// is known without the offsets' values: a sequence with landmarks has more than m keys, so that at
// most total_k / (m + 1) sequences have them, and the whole is never larger than k in this dtype.
at::Tensor nystrom_saved_like(const at::Tensor& q, const at::Tensor& k, const at::Tensor& offsets,
                              int64_t landmarks);

}  // namespace lowrank
