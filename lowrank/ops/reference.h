// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <utility>

#include "lowrank/ops/nystrom.h"

// The plain formula of each op: what the tests compare with, what LOWRANK_REFERENCE=1 runs, what
// takes a problem that nothing faster takes. Shares no code with the fast implementations.
//
// Any device and dtype, differentiable by LibTorch's autograd; arithmetic in the dtype given, except
// Z, which is computed in float32 at least. Inputs are as in the ops' headers and are not checked;
// offsets_k undefined means that of the queries.
namespace lowrank::reference {

at::Tensor exact_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                           const at::Tensor& offsets, std::optional<double> scale = std::nullopt,
                           const at::Tensor& offsets_k = {});

// log(sum(exp(s q k^T))) over the keys, [total_q, h].
at::Tensor exact_logsumexp(const at::Tensor& q, const at::Tensor& k, const at::Tensor& offsets,
                           std::optional<double> scale = std::nullopt,
                           const at::Tensor& offsets_k = {});

at::Tensor nystrom_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                             const at::Tensor& offsets, const NystromOptions& options = {},
                             const at::Tensor& filter = {}, const at::Tensor& offsets_k = {});

at::Tensor linformer_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                               const at::Tensor& e, const at::Tensor& f, const at::Tensor& offsets,
                               std::optional<double> scale = std::nullopt,
                               const at::Tensor& offsets_k = {});

at::Tensor project_sequences(const at::Tensor& x, const at::Tensor& e, const at::Tensor& offsets);

at::Tensor segment_means(const at::Tensor& x, const at::Tensor& offsets, int64_t landmarks);

at::Tensor pseudo_inverse(const at::Tensor& a, int64_t steps = 6);

}  // namespace lowrank::reference
