// SPDX-License-Identifier: Apache-2.0
#include "lowrank/analysis/approximation.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "lowrank/ops/nystrom.h"

namespace lowrank::analysis {
namespace {

using at::Tensor;

double squares(const Tensor& x) { return x.to(at::kDouble).square().sum().item<double>(); }

Tensor nystrom(const LayerHeads& heads, int64_t m) {
  const int64_t n = heads.q.size(1);
  const auto rows = [](const Tensor& x) { return x.transpose(0, 1).contiguous(); };  // [n, h, d]
  return nystrom_attention(rows(heads.q), rows(heads.k), rows(heads.v), at::tensor({int64_t{0}, n}),
                           {.landmarks = m, .scale = heads.scale})
      .transpose(0, 1);
}

// Means of windows of ceil(n / r) rows of x [h, n, d].
Tensor pooled(const Tensor& x, int64_t r) {
  const int64_t n = x.size(1), w = (n + r - 1) / r;
  std::vector<Tensor> means;
  for (int64_t begin = 0; begin < n; begin += w)
    means.push_back(x.slice(1, begin, begin + w).mean(1));
  return at::stack(means, 1);
}

Tensor linformer(const LayerHeads& heads, int64_t r) {
  const Tensor keys = pooled(heads.k, r), values = pooled(heads.v, r);
  return at::bmm(at::softmax(at::bmm(heads.q * heads.scale, keys.transpose(1, 2)), -1), values);
}

// An E [r, n] of N(0, 1 / r) for each head.
Tensor random_projections(int64_t h, int64_t r, int64_t n, const at::TensorOptions& options) {
  return at::randn({h, r, n}, options) / std::sqrt(static_cast<double>(r));
}

bool needs_matrix(const Approximation& approximation) {
  return approximation.method == Method::kRandom || approximation.method == Method::kBestRank;
}

// Eigenvectors of P^T P by ascending eigenvalue, [n, n]: P's right singular vectors. P_m v is P V V^T v
// with the last m of them. Those of singular values below the root of the dtype's rounding, of the largest,
// are any vectors: what they hold of P is no more than that.
Tensor right_singular_vectors(const Tensor& p) {
  return std::get<1>(at::linalg_eigh(at::mm(p.t(), p)));
}

Tensor through_basis(const Tensor& p, const Tensor& vectors, int64_t m, const Tensor& v) {
  const Tensor basis = vectors.slice(1, std::max<int64_t>(0, p.size(0) - m));
  return at::mm(p, at::mm(basis, at::mm(basis.t(), v)));
}

Tensor through_projection(const Tensor& p, const Tensor& e, const Tensor& v) {
  return at::mm(at::mm(p, e.t()), at::mm(e, v));
}

// v [h, n, d] convolved along n with w [h, taps].
Tensor convolve(const Tensor& v, const Tensor& w) {
  return at::conv1d(v.permute({2, 0, 1}), w.unsqueeze(1).to(v.scalar_type()), {},
                    at::IntArrayRef{1}, at::IntArrayRef{w.size(1) / 2}, at::IntArrayRef{1},
                    w.size(0))
      .permute({1, 2, 0});
}

// The layer's output from what its heads made, [h, n, d].
Tensor completed(const models::LayerStep& step, const LayerHeads& heads, Tensor attended) {
  nn::EncoderLayer layer = step.layer;
  const Tensor& filter = layer->attention->filter;
  if (filter.defined()) attended = attended + convolve(heads.v, filter);
  Tensor rows = attended.transpose(0, 1).contiguous().to(step.x.scalar_type());
  return layer->complete(step.x, layer->attention->join_heads(rows));
}

Tensor pooled_vector(models::Model& model, const models::Inputs& sequence,
                     const std::function<Tensor(const LayerHeads&)>& attend) {
  const nn::Embedded rows = model.walk(sequence, [&](const models::LayerStep& step) {
    const LayerHeads heads = heads_of(step);
    return completed(step, heads, attend(heads));
  });
  return model.pool(rows, model.config().pooling).to(at::kDouble);
}

}  // namespace

const char* name_of(Method method) {
  switch (method) {
    case Method::kNystrom:
      return "nystrom";
    case Method::kPooled:
      return "pooled";
    case Method::kRandom:
      return "random";
    case Method::kBestRank:
      break;
  }
  return "best rank";
}

std::vector<Tensor> approximate(const LayerHeads& heads,
                                const std::vector<Approximation>& approximations) {
  std::vector<Tensor> outputs;
  for (const Approximation& approximation : approximations) {
    outputs.push_back(approximation.method == Method::kNystrom ? nystrom(heads, approximation.size)
                      : approximation.method == Method::kPooled
                          ? linformer(heads, approximation.size)
                          : at::empty_like(heads.v));
  }
  if (std::none_of(approximations.begin(), approximations.end(), needs_matrix)) return outputs;
  const bool decomposes =
      std::any_of(approximations.begin(), approximations.end(),
                  [](const Approximation& one) { return one.method == Method::kBestRank; });
  const int64_t h = heads.v.size(0), n = heads.v.size(1);
  std::vector<Tensor> projections;  // drawn before the threads take turns: [h, r, n], or undefined
  for (const Approximation& one : approximations) {
    const bool draws = one.method == Method::kRandom;
    projections.push_back(draws ? random_projections(h, one.size, n, heads.v.options()) : Tensor());
  }
  at::parallel_for(0, h, 1, [&](int64_t begin, int64_t end) {
    const at::NoGradGuard no_grad;
    for (int64_t head = begin; head < end; ++head) {
      const Tensor p = heads.matrix(head), v = heads.v[head];
      const Tensor vectors = decomposes ? right_singular_vectors(p) : Tensor();
      for (size_t i = 0; i < approximations.size(); ++i) {
        if (!needs_matrix(approximations[i])) continue;
        outputs[i][head].copy_(projections[i].defined()
                                   ? through_projection(p, projections[i][head], v)
                                   : through_basis(p, vectors, approximations[i].size, v));
      }
    }
  });
  return outputs;
}

Tensor layer_errors(models::Model& model, const std::vector<models::Inputs>& sequences,
                    const std::vector<Approximation>& approximations,
                    const std::function<void(double)>& progress) {
  const int64_t l = model.config().layers;
  const Tensor errors = at::zeros({std::ssize(approximations), l}, at::kDouble);
  const Tensor sizes = at::zeros({l}, at::kDouble);
  const double steps = static_cast<double>(l * std::ssize(sequences));
  double done = 0;
  for (const models::Inputs& sequence : sequences) {
    visit_heads(model, sequence, [&](const LayerHeads& heads) {
      const Tensor exact = heads.exact();
      const std::vector<Tensor> outputs = approximate(heads, approximations);
      for (size_t i = 0; i < outputs.size(); ++i) {
        errors[static_cast<int64_t>(i)][heads.layer] += squares(outputs[i] - exact);
      }
      sizes[heads.layer] += squares(exact);
      if (progress) progress(++done / steps);
    });
  }
  return (errors / sizes).sqrt();
}

std::vector<models::Closeness> closeness_with(models::Model& model,
                                              const std::vector<models::Inputs>& sequences,
                                              const std::vector<Approximation>& approximations,
                                              const std::function<void(double)>& progress) {
  const at::NoGradGuard no_grad;
  model.eval();
  std::vector<models::Closeness> results(approximations.size(), {.least_cosine = 1});
  const double steps = static_cast<double>(approximations.size() * sequences.size());
  double done = 0;
  for (const models::Inputs& sequence : sequences) {
    const Tensor exact =
        pooled_vector(model, sequence, [](const LayerHeads& heads) { return heads.exact(); });
    for (size_t i = 0; i < approximations.size(); ++i) {
      const Tensor own = pooled_vector(model, sequence, [&](const LayerHeads& heads) {
        return approximate(heads, {approximations[i]})[0];
      });
      const double cosine = at::cosine_similarity(own, exact).item<double>();
      results[i].mean_cosine += cosine / static_cast<double>(sequences.size());
      results[i].least_cosine = std::min(results[i].least_cosine, cosine);
      ++results[i].sequences;
      if (progress) progress(++done / steps);
    }
  }
  return results;
}

std::vector<ProjectionError> projection_errors(models::Model& model,
                                               const std::vector<models::Inputs>& sequences,
                                               const std::vector<int64_t>& ranks,
                                               const std::function<void(double)>& progress) {
  std::vector<ProjectionError> sums(ranks.size());
  const double steps = static_cast<double>(model.config().layers * std::ssize(sequences));
  const double matrices = steps * static_cast<double>(model.config().heads);
  double done = 0;
  for (const models::Inputs& sequence : sequences) {
    visit_heads(model, sequence, [&](const LayerHeads& heads) {
      for (int64_t head = 0; head < heads.v.size(0); ++head) {
        const Tensor p = heads.matrix(head), v = heads.v[head], exact = at::mm(p, v);
        const Tensor lengths = at::mm(p.norm(2, {1}, true), v.norm(2, {0}, true));  // [n, d]
        for (size_t i = 0; i < ranks.size(); ++i) {
          const Tensor e = random_projections(1, ranks[i], p.size(0), p.options())[0];
          const Tensor error = through_projection(p, e, v) - exact;
          const Tensor products = error / lengths;
          const double r = static_cast<double>(ranks[i]);
          sums[i].length = p.size(0);
          sums[i].rank = ranks[i];
          sums[i].output += std::sqrt(squares(error) / squares(exact)) / matrices;
          sums[i].expected += std::sqrt((squares(lengths) / squares(exact) + 1) / r) / matrices;
          sums[i].product += squares(products) / static_cast<double>(products.numel()) / matrices;
          sums[i].largest += products.abs().max().item<double>() / matrices;
        }
      }
      if (progress) progress(++done / steps);
    });
  }
  for (ProjectionError& sum : sums) sum.product = std::sqrt(sum.product);
  return sums;
}

}  // namespace lowrank::analysis
