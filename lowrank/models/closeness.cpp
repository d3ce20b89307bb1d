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
  // A comparison for each layer alone, and then at most one for each candidate of each layer.
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
  for (const size_t i : order) {
    const AttentionKind before = chosen.kinds[i];
    bool taken = false;
    for (size_t j = 0; j < candidates.size() && !taken; ++j) {
      chosen.kinds[i] = candidates[j];
      taken = cosine_with(chosen.kinds) >= min_cosine;
      advance(1);
      if (taken) advance(static_cast<double>(candidates.size() - 1 - j));
    }
    if (taken) best = chosen.closeness;
    if (!taken) chosen.kinds[i] = before;
  }
  chosen.closeness = best;
  return chosen;
}

}  // namespace lowrank::models
