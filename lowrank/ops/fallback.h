// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>

// The plain formulas of reference.h with the arguments of libtorch.h, computed in float32 at least;
// the gradients by LibTorch's autograd. Any device, memory O(n m), or O(n^2) for exact attention.
namespace lowrank::fallback {

using at::Tensor;

// The output and log(sum(exp(s q k^T))) [total_q, h] in the compute dtype.
std::tuple<Tensor, Tensor> exact_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                           const Tensor& offsets, const Tensor& offsets_k,
                                           double scale);
std::tuple<Tensor, Tensor, Tensor> exact_attention_backward(
    const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
    const Tensor& logsumexp, const Tensor& offsets, const Tensor& offsets_k, double scale);

Tensor nystrom_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& filter,
                         const Tensor& offsets, const Tensor& offsets_k, int64_t landmarks,
                         int64_t inverse_steps, double scale);
std::tuple<Tensor, Tensor, Tensor, Tensor> nystrom_attention_backward(
    const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& filter,
    const Tensor& offsets, const Tensor& offsets_k, int64_t landmarks, int64_t inverse_steps,
    double scale);

Tensor linformer_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
                           const Tensor& f, const Tensor& offsets, const Tensor& offsets_k,
                           double scale);
std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> linformer_attention_backward(
    const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
    const Tensor& f, const Tensor& offsets, const Tensor& offsets_k, double scale);

Tensor project_sequences(const Tensor& x, const Tensor& e, const Tensor& offsets);
std::tuple<Tensor, Tensor> project_sequences_backward(const Tensor& gradient, const Tensor& x,
                                                      const Tensor& e, const Tensor& offsets);

Tensor segment_means(const Tensor& x, const Tensor& offsets, int64_t landmarks);
Tensor segment_means_backward(const Tensor& gradient, const Tensor& offsets, int64_t total);

Tensor pseudo_inverse(const Tensor& a, int64_t steps);
Tensor pseudo_inverse_backward(const Tensor& gradient, const Tensor& a, int64_t steps);

}  // namespace lowrank::fallback
