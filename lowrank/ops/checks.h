// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>

// What every op checks before it allocates. Each message names the op, the rule, what was found and
// the remedy; sizes and ranges throw c10::ValueError, dtypes and devices c10::TypeError.
namespace lowrank {

void check_not_causal(const char* op, bool causal);
void check_range(const char* op, const char* name, int64_t value, int64_t min, int64_t max);
void check_dtype(const char* op, const char* name, const at::Tensor& x);

// `offsets` describes sequences that fill `total` rows.
void check_offsets(const char* op, const char* name, const at::Tensor& offsets, int64_t total);

// q [total_q, h, d], k and v [total_k, h, d]; offsets_k undefined means that of the queries.
void check_ragged(const char* op, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const at::Tensor& offsets, const at::Tensor& offsets_k);

// q, k, v [b, h, n, d]; mask undefined, [b, n] bool or [b] int64.
void check_padded(const char* op, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                  const at::Tensor& mask);

// filter [h, taps], taps odd; undefined means none.
void check_filter(const char* op, const at::Tensor& filter, const at::Tensor& q);

// The taps of `filter` are the options' `conv`.
void check_conv(const char* op, int64_t conv, const at::Tensor& filter);

// e [r, n_max], or [h, r, n_max] where `heads` says how many; wide enough for each sequence.
void check_projection(const char* op, const char* name, const at::Tensor& e, const at::Tensor& x,
                      const at::Tensor& offsets, std::optional<int64_t> heads);

}  // namespace lowrank
