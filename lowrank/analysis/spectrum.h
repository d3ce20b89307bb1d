// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "lowrank/models/model.h"

namespace lowrank::analysis {

// How much of a matrix its first singular values hold:
//
//   c_k = (s_1 + ... + s_k) / (s_1 + ... + s_n)
//
//   matrix    [..., n, n]
//   returns   [..., n] float64, ascending to 1; zeros for a matrix of zeros
at::Tensor cumulative_share(const at::Tensor& matrix);

// The first k with c_k >= share: how many singular values hold that much. [...] int64
at::Tensor rank_of_share(const at::Tensor& cumulative, double share);

// The spectra of a model's attention matrices: Figure 1 of Wang et al. 2020 (arXiv:2006.04768), means over
// the sequences. The matrices are softmax(s q k^T) of the layers' own q and k, whatever their kind.
struct Spectrum {
  int64_t length = 0;  // n
  int64_t sequences = 0;
  at::Tensor cumulative;  // c, [l, h, n] float64
  at::Tensor rank;        // [l, h] float64, of the share asked for
};

// `sequences` are of one length and at least one. `progress` gets the share done and may throw to give up.
// Throws Error where the lengths differ.
Spectrum spectrum(models::Model& model, const std::vector<models::Inputs>& sequences, double share,
                  const std::function<void(double)>& progress = {});

}  // namespace lowrank::analysis
