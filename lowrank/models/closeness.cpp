// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/closeness.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <numeric>

#include "lowrank/models/derive.h"

namespace lowrank::models {
namespace {

double squares(const at::Tensor& x) { return x.to(at::kDouble).square().sum().item<double>(); }

// Kinds of all layers, one entry each.
std::vector<AttentionKind> kinds_of(const ModelConfig& config) {
  std::vector<AttentionKind> kinds;
  for (int64_t i = 0; i < config.layers; ++i) kinds.push_back(attention_of_layer(config, i));
  return kinds;
}

}  // namespace

at::Tensor pooled_vectors(Model& model, Pooling pooling, const std::vector<Inputs>& batches) {
  const at::NoGradGuard no_grad;
  model.eval();
  std::vector<at::Tensor> vectors;
  for (const Inputs& batch : batches) {
    vectors.push_back(model.pool(model.encode(batch), pooling).to(at::kDouble));
  }
  return vectors.empty() ? at::zeros({0, model.config().width}, at::kDouble) : at::cat(vectors);
}

Closeness compare(Model& model, Model& reference, const std::vector<Inputs>& batches,
                  const std::function<void(double)>& progress) {
  const at::NoGradGuard no_grad;
  model.eval();
  reference.eval();
  Closeness closeness{.least_cosine = 1};
  const auto states = static_cast<size_t>(model.config().layers + 1);
  std::vector<double> errors(states, 0), sizes(states, 0);
  double sum = 0, done = 0;
  for (const Inputs& batch : batches) {
    const std::vector<at::Tensor> own = model.hidden_states(batch);
    const std::vector<at::Tensor> other = reference.hidden_states(batch);
    for (size_t i = 0; i < states; ++i) {
      errors[i] += squares(own[i].to(at::kDouble) - other[i].to(at::kDouble));
      sizes[i] += squares(other[i]);
    }
    const Pooling pooling = reference.config().pooling;
    const at::Tensor cosines = at::cosine_similarity(
        model.pool({own.back(), batch.offsets}, pooling).to(at::kDouble),
        reference.pool({other.back(), batch.offsets}, pooling).to(at::kDouble));
    closeness.sequences += cosines.numel();
    sum += cosines.sum().item<double>();
    closeness.least_cosine = std::min(closeness.least_cosine, cosines.min().item<double>());
    if (progress) progress(++done / static_cast<double>(batches.size()));
  }
  closeness.mean_cosine = sum / static_cast<double>(std::max<int64_t>(closeness.sequences, 1));
  for (size_t i = 0; i < states; ++i) {
    closeness.state_errors.push_back(sizes[i] > 0 ? std::sqrt(errors[i] / sizes[i]) : 0);
  }
  return closeness;
}

ChosenAttention choose_attention(Model& model, const std::vector<AttentionKind>& candidates,
                                 double min_cosine, const std::vector<Inputs>& batches,
                                 const std::function<void(double)>& progress) {
  ChosenAttention chosen{.kinds = kinds_of(model.config()), .closeness = {}, .alone = {}};
  const size_t layers = chosen.kinds.size();
  const auto cosine_with = [&](const std::vector<AttentionKind>& kinds) {
    chosen.closeness = compare(*with_attention(model, kinds), model, batches);
    return chosen.closeness.mean_cosine;
  };
  // Of each layer: alone, and then at most once with each candidate.
  const double comparisons = static_cast<double>(layers * (1 + candidates.size()));
  double done = 0;
  const auto advance = [&](double by) {
    done += by;
    if (progress) progress(done / comparisons);
  };
  for (size_t i = 0; i < layers; ++i) {
    std::vector<AttentionKind> kinds = kinds_of(model.config());
    kinds[i] = candidates[candidates.size() / 2];
    chosen.alone.push_back(cosine_with(kinds));
    advance(1);
  }
  std::vector<size_t> order(layers);
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return chosen.alone[a] > chosen.alone[b]; });
  Closeness best{.mean_cosine = 1, .least_cosine = 1};
  const auto try_kind = [&](size_t layer, const AttentionKind& kind) {
    const AttentionKind before = chosen.kinds[layer];
    chosen.kinds[layer] = kind;
    const bool holds = cosine_with(chosen.kinds) >= min_cosine;
    if (holds) best = chosen.closeness;
    if (!holds) chosen.kinds[layer] = before;
    advance(1);
    return holds;
  };
  std::vector<size_t> replaced;
  for (const size_t i : order) {
    if (try_kind(i, candidates.back())) replaced.push_back(i);
  }
  for (const size_t i : replaced) {
    for (size_t j = 0; j + 1 < candidates.size(); ++j) {
      if (try_kind(i, candidates[j])) break;
    }
  }
  if (progress) progress(1);
  chosen.closeness = best;
  return chosen;
}

}  // namespace lowrank::models
