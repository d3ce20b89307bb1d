// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/derive.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <limits>

namespace lowrank::models {
namespace {

constexpr const char* kPositions = "embeddings.positions";

// Every parameter of `to` that `from` has under the same name and with the same sizes.
void copy_parameters(const Model& from, Model& to) {
  const at::NoGradGuard no_grad;
  const auto source = from.named_parameters();
  for (auto& parameter : to.named_parameters()) {
    const at::Tensor* found = source.find(parameter.key());
    if (found && found->sizes() == parameter->sizes()) parameter->copy_(*found);
  }
}

// A model of `config` on the device and in the dtype of `model`, with the weights that both have.
std::shared_ptr<Model> derived(const Model& model, const ModelConfig& config) {
  const auto result = std::make_shared<Model>(config);
  const at::Tensor first = model.parameters().front();
  result->to(first.device(), first.scalar_type());
  copy_parameters(model, *result);
  result->train(model.is_training());
  return result;
}

bool fits_profile(const ModelConfig& config) {
  const auto is_nystrom = [&](const AttentionKind& kind) {
    const auto* nystrom = std::get_if<NystromOptions>(&kind);
    return nystrom && config.compat.segment_length % nystrom->landmarks == 0;
  };
  const auto is_linformer = [](const AttentionKind& kind) {
    return std::holds_alternative<LinformerOptions>(kind);
  };
  return config.compat.profile == Profile::kFairseq
             ? std::all_of(config.attention.begin(), config.attention.end(), is_linformer)
             : std::all_of(config.attention.begin(), config.attention.end(), is_nystrom);
}

at::Tensor grown(const at::Tensor& table, int64_t rows, PositionRule rule) {
  if (rule == PositionRule::kTile) {
    return table.index_select(
        0, at::arange(rows, at::kLong).remainder(table.size(0)).to(table.device()));
  }
  const double step =
      rows > 1 ? static_cast<double>(table.size(0) - 1) / static_cast<double>(rows - 1) : 0;
  const at::Tensor place = at::arange(rows, at::kDouble) * step;
  const at::Tensor below = place.floor().clamp(0, table.size(0) - 1);
  const at::Tensor above = (below + 1).clamp_max(table.size(0) - 1);
  const auto pick = [&](const at::Tensor& at_rows) {
    return table.to(at::kDouble).index_select(0, at_rows.to(at::kLong).to(table.device()));
  };
  const at::Tensor share = (place - below).to(table.device()).unsqueeze(1);
  return (pick(below) * (1 - share) + pick(above) * share).to(table.scalar_type());
}

}  // namespace

std::shared_ptr<Model> with_attention(const Model& model, const std::vector<AttentionKind>& kinds) {
  ModelConfig config = model.config();
  config.attention = kinds;
  if (config.compat.profile != Profile::kNone && !fits_profile(config)) config.compat = {};
  const std::shared_ptr<Model> result = derived(model, config);
  const at::NoGradGuard no_grad;
  const auto before = model.named_parameters();
  for (auto& parameter : result->named_parameters()) {
    const at::Tensor* found = before.find(parameter.key());
    const bool kept = found && found->sizes() == parameter->sizes();
    if (!kept && parameter.key().ends_with(".attention.filter")) parameter->zero_();
  }
  return result;
}

std::shared_ptr<Model> without_profile(const Model& model) {
  ModelConfig config = model.config();
  if (config.compat.profile == Profile::kFairseq) {
    config.compat.padded = false;
  } else {
    config.compat = {};
  }
  return derived(model, config);
}

std::shared_ptr<Model> with_positions(const Model& model, int64_t max_positions,
                                      PositionRule rule) {
  ModelConfig config = model.config();
  const int64_t before = config.embeddings.max_positions;
  if (max_positions < before) {
    throw Error(
        fmt::format("max_positions = {}; the model has {} and keeps them. Use at least as "
                    "many.",
                    max_positions, before));
  }
  config.embeddings.max_positions = max_positions;
  const std::shared_ptr<Model> result = derived(model, config);
  if (config.embeddings.positions != nn::Positions::kLearned) return result;
  const at::NoGradGuard no_grad;
  const at::Tensor from = model.named_parameters()[kPositions];
  const int64_t offset = config.embeddings.position_offset;
  result->named_parameters()[kPositions].copy_(
      at::cat({from.slice(0, 0, offset), grown(from.slice(0, offset), max_positions, rule)}));
  return result;
}

int64_t longest_sequence(const ModelConfig& config) {
  int64_t rows = std::numeric_limits<int64_t>::max();
  if (config.embeddings.positions != nn::Positions::kNone) rows = config.embeddings.max_positions;
  for (const AttentionKind& kind : config.attention) {
    if (const auto* linformer = std::get_if<LinformerOptions>(&kind)) {
      rows = std::min(rows, linformer->max_length);
    }
    const auto* nystrom = std::get_if<NystromOptions>(&kind);
    const bool one_length = nystrom && config.compat.profile != Profile::kNone &&
                            config.compat.segment_length != nystrom->landmarks;
    if (one_length) rows = std::min(rows, config.compat.segment_length);
  }
  const int64_t patch = config.embeddings.patch;
  return rows > std::numeric_limits<int64_t>::max() / patch ? rows : rows * patch;
}

}  // namespace lowrank::models
