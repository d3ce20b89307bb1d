// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lowrank/analysis/layer_heads.h"
#include "lowrank/models/closeness.h"

namespace lowrank::analysis {

// What may stand in for P v, P = softmax(s q k^T) [n, n], without any training; `size` is its rank.
//
//   kNystrom   F (Z (B v)) with m landmarks, of ops/nystrom.h
//   kPooled    softmax(s q (E k)^T) (E v), where E makes r means of windows of ceil(n / r) rows: Linformer
//              attention with mean_pool
//   kRandom    P E^T (E v), E [r, n] of N(0, 1 / r): the projection of Linformer's first theorem
//   kBestRank  P_m v, P_m of all matrices of rank m the nearest to P: the first m singular values. No
//              other method's matrix is nearer; a method's output may still be
enum class Method { kNystrom, kPooled, kRandom, kBestRank };

const char* name_of(Method method);  // "nystrom", "pooled", "random", "best rank"

struct Approximation {
  Method method = Method::kNystrom;
  int64_t size = 64;

  bool operator==(const Approximation&) const = default;
};

// Each of them instead of exact attention, [h, n, d], in their order; a size of n or more is exact
// attention but for kRandom, and kPooled where r does not reach n. E is drawn from LibTorch's default
// generator.
std::vector<at::Tensor> approximate(const LayerHeads& heads,
                                    const std::vector<Approximation>& approximations);

// [approximations, l] float64: |x - P v| / |P v| of the heads' outputs, Frobenius norms over all heads, rows
// and sequences. Runs the model as it is. `progress` gets the share done and may throw to give up.
at::Tensor layer_errors(models::Model& model, const std::vector<models::Inputs>& sequences,
                        const std::vector<Approximation>& approximations,
                        const std::function<void(double)>& progress = {});

// For each approximation, how near the model comes with it in every layer to itself with exact attention in
// every layer; state_errors are left empty. A convolution that its layers have stays in both.
std::vector<models::Closeness> closeness_with(models::Model& model,
                                              const std::vector<models::Inputs>& sequences,
                                              const std::vector<Approximation>& approximations,
                                              const std::function<void(double)>& progress = {});

// The Johnson-Lindenstrauss lemma on a layer's heads: E [r, n] of N(0, 1 / r) in P E^T (E v).
//
// A product of two vectors becomes x E^T E y, right in the mean, with the variance
// (|x|^2 |y|^2 + (x y)^2) / r. So relative to |x| |y| the error is about 1 / sqrt(r) whatever n is, and the
// largest of many grows with the root of the logarithm of how many: r of c log n keeps it. That is not the
// error relative to the product x y itself, which is what |P v| measures.
struct ProjectionError {
  int64_t length = 0, rank = 0;  // n, r
  double output = 0;             // |P E^T E v - P v| / |P v|, mean over layers, heads and sequences
  double expected = 0;           // the same by the variance above
  double product =
      0;  // root mean square of |p E^T E v_c - p v_c| / (|p| |v_c|) over rows p and columns c
  double largest = 0;  // the largest of those of a head, mean over the heads
};

// For each rank of `ranks`, over all layers, heads and sequences, which are of one length. E is drawn from
// LibTorch's default generator, anew for each head.
std::vector<ProjectionError> projection_errors(models::Model& model,
                                               const std::vector<models::Inputs>& sequences,
                                               const std::vector<int64_t>& ranks,
                                               const std::function<void(double)>& progress = {});

}  // namespace lowrank::analysis
