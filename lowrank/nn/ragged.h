// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace lowrank::nn {

// Windows of a ragged batch: w consecutive rows of one sequence each, the first at its start. A
// sequence of n rows has ceil(n / w) windows; its last one may be shorter. No window holds rows of two
// sequences.

// Throws c10::TypeError or c10::ValueError unless `offsets` is [b + 1] int64 on the CPU, ascending
// from 0 to total. `where` begins the message.
void check_offsets(const at::Tensor& offsets, int64_t total, const char* where);

// Offsets in windows, [b + 1].
at::Tensor window_offsets(const at::Tensor& offsets, int64_t w);

// Rows of each window, [windows] int64: w, or fewer at a sequence's end.
at::Tensor window_sizes(const at::Tensor& offsets, int64_t w);

// For each row of a ragged batch its place in its sequence, from 0; [total] int64.
at::Tensor places(const at::Tensor& offsets);

// Cuts x [total, c] into [windows, w, c]; the places past a sequence's end hold `fill`.
at::Tensor cut_windows(const at::Tensor& x, const at::Tensor& offsets, int64_t w, double fill);

}  // namespace lowrank::nn
