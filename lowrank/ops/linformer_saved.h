// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lowrank {

// The tensor that Linformer attention's forward fills for its backward (signatures.h), unset:
// [slots, h, 2, r, d] in the compute dtype, E k and F v of the sequences with more than r keys, in the
// order of the batch. Others cost less to project again than to keep, so that at most total_k / (r + 1)
// sequences have a slot and the whole is never larger than k and v in this dtype.
at::Tensor linformer_saved_like(const at::Tensor& q, const at::Tensor& k, const at::Tensor& e,
                                const at::Tensor& offsets);

}  // namespace lowrank
