// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/derive.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <limits>

#include "lowrank/models/file_format.h"

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

bool is_of_encoder(const std::string& name) {
  return name.starts_with("embeddings.") || name.starts_with("layers.") ||
         name.starts_with("final_norm.") || name == "shared_e";
}

bool have_the_same_head(const ModelConfig& a, const ModelConfig& b) {
  return a.task == b.task && a.classes == b.classes && a.pooling == b.pooling &&
         a.head_activation == b.head_activation;
}

// A convolution that `before` has not does nothing at first.
void silence_new_filters(const Model& before, Model& after) {
  const at::NoGradGuard no_grad;
  const auto known = before.named_parameters();
  for (auto& parameter : after.named_parameters()) {
    const at::Tensor* found = known.find(parameter.key());
    const bool kept = found && found->sizes() == parameter->sizes();
    if (!kept && parameter.key().ends_with(".attention.filter")) parameter->zero_();
  }
}

// The positions of `from`, as many as `to` has.
void resize_positions(const Model& from, Model& to, PositionRule rule) {
  const nn::EmbeddingsOptions& embeddings = to.config().embeddings;
  if (embeddings.positions != nn::Positions::kLearned) return;
  const at::NoGradGuard no_grad;
  const at::Tensor table = from.named_parameters()[kPositions];
  const int64_t offset = embeddings.position_offset, rows = embeddings.max_positions;
  const at::Tensor places = table.slice(0, offset);
  to.named_parameters()[kPositions].copy_(
      at::cat({table.slice(0, 0, offset),
               rows <= places.size(0) ? places.slice(0, 0, rows) : grown(places, rows, rule)}));
}

// `from` with the layers, the attention and the positions of `config`, without a profile.
std::shared_ptr<Model> likened(const Model& from, const ModelConfig& config) {
  ModelConfig like = from.config();
  like.compat = {};
  like.layers = config.layers;
  like.attention = config.attention;
  like.embeddings.max_positions = config.embeddings.max_positions;
  std::shared_ptr<Model> result = derived(from, like);
  silence_new_filters(from, *result);
  const bool both_learned = like.embeddings.positions == nn::Positions::kLearned;
  if (both_learned) resize_positions(from, *result, PositionRule::kTile);
  return result;
}

}  // namespace

std::shared_ptr<Model> with_attention(const Model& model, const std::vector<AttentionKind>& kinds) {
  ModelConfig config = model.config();
  config.attention = kinds;
  if (config.compat.profile != Profile::kNone && !fits_profile(config)) config.compat = {};
  std::shared_ptr<Model> result = derived(model, config);
  silence_new_filters(model, *result);
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
  std::shared_ptr<Model> result = derived(model, config);
  resize_positions(model, *result, rule);
  return result;
}

Inherited inherit(Model& model, const Model& from) {
  const bool same_head = have_the_same_head(model.config(), from.config());
  const std::shared_ptr<Model> source = likened(from, model.config());
  const auto of_source = source->named_parameters(), of_from = from.named_parameters();
  const auto passes_on = [&](const std::string& name) { return same_head || is_of_encoder(name); };
  std::vector<std::pair<at::Tensor, at::Tensor>> copies;  // to, from
  std::vector<std::string> misfits;
  Inherited inherited;
  for (const auto& parameter : model.named_parameters()) {
    const std::string& name = parameter.key();
    const at::Tensor* found = of_source.find(name);
    const at::Tensor* learnt = of_from.find(name);
    const bool kept = found && learnt && passes_on(name) &&
                      (found->sizes() == learnt->sizes() || name == kPositions);
    if (!kept) inherited.fresh.push_back(name);
    if (!found || !passes_on(name)) continue;
    if (found->sizes() == parameter->sizes()) {
      copies.emplace_back(*parameter, *found);
    } else {
      misfits.push_back(
          fmt::format("\"{}\" is {} instead of {}", name, shown(*found), shown(*parameter)));
    }
  }
  if (!misfits.empty()) {
    throw Error(
        fmt::format("{} tensors of the model to start from do not fit the new one: {}. Make "
                    "the [model] tables alike, or leave the keys out.",
                    misfits.size(), fmt::join(misfits, "; ")));
  }
  const auto of_model = model.named_parameters();
  for (const auto& parameter : of_from) {
    if (of_model.contains(parameter.key()) && passes_on(parameter.key())) continue;
    inherited.unused.push_back(parameter.key());
  }
  const at::NoGradGuard no_grad;
  for (auto& [to, value] : copies) to.copy_(value);
  return inherited;
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
