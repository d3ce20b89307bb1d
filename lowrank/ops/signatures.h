// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <tuple>

// What each op's implementations look like, forward and backward. Arguments are checked and
// complete: no undefined tensor, the scale given, a filter of [h, 0] for none.
namespace lowrank::signatures {

using at::Tensor;

// The output and log(sum(exp(s q k^T))) [total_q, h] in the compute dtype.
using ExactAttention = std::tuple<Tensor, Tensor>(const Tensor& q, const Tensor& k, const Tensor& v,
                                                  const Tensor& offsets, const Tensor& offsets_k,
                                                  double scale);
using ExactAttentionBackward = std::tuple<Tensor, Tensor, Tensor>(
    const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& out,
    const Tensor& logsumexp, const Tensor& offsets, const Tensor& offsets_k, double scale);

// The output and, with `save`, what the backward would otherwise compute again (else undefined): for
// each sequence that has landmarks, in the order of the batch, B v [m, d] and behind it two columns
// of B's softmax, see nystrom_saved.h. Only the implementation that wrote it reads it.
using NystromAttention = std::tuple<Tensor, Tensor>(const Tensor& q, const Tensor& k,
                                                    const Tensor& v, const Tensor& filter,
                                                    const Tensor& offsets, const Tensor& offsets_k,
                                                    int64_t landmarks, int64_t exact_up_to,
                                                    int64_t inverse_steps, double scale, bool save);
using NystromAttentionBackward = std::tuple<Tensor, Tensor, Tensor, Tensor>(
    const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& filter,
    const Tensor& saved, const Tensor& offsets, const Tensor& offsets_k, int64_t landmarks,
    int64_t exact_up_to, int64_t inverse_steps, double scale);

// As for Nystrom: with `save` also E k and F v, see linformer_saved.h.
using LinformerAttention = std::tuple<Tensor, Tensor>(const Tensor& q, const Tensor& k,
                                                      const Tensor& v, const Tensor& e,
                                                      const Tensor& f, const Tensor& offsets,
                                                      const Tensor& offsets_k, double scale,
                                                      bool save);
using LinformerAttentionBackward = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor>(
    const Tensor& gradient, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
    const Tensor& f, const Tensor& saved, const Tensor& offsets, const Tensor& offsets_k,
    double scale);

using ProjectSequences = Tensor(const Tensor& x, const Tensor& e, const Tensor& offsets);
using ProjectSequencesBackward = std::tuple<Tensor, Tensor>(const Tensor& gradient, const Tensor& x,
                                                            const Tensor& e, const Tensor& offsets);

using SegmentMeans = Tensor(const Tensor& x, const Tensor& offsets, int64_t landmarks);
using SegmentMeansBackward = Tensor(const Tensor& gradient, const Tensor& offsets, int64_t total);

using PseudoInverse = Tensor(const Tensor& a, int64_t steps);
using PseudoInverseBackward = Tensor(const Tensor& gradient, const Tensor& a, int64_t steps);

}  // namespace lowrank::signatures
