// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/model_summary.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "lowrank/cli/quantity.h"

namespace lowrank::cli {
namespace {

std::string in_words(LinformerSharing sharing) {
  switch (sharing) {
    case LinformerSharing::kNone:
      return "its own E and F for each head";
    case LinformerSharing::kHeadwise:
      return "E and F shared by the heads";
    case LinformerSharing::kKeyValue:
      return "one E for keys and values";
    case LinformerSharing::kLayerwise:
      return "one E for all layers";
  }
  return "";
}

std::string in_words(LinformerProjection projection) {
  switch (projection) {
    case LinformerProjection::kLinear:
      return "linear";
    case LinformerProjection::kMeanPool:
      return "mean pooling";
    case LinformerProjection::kMaxPool:
      return "max pooling";
    case LinformerProjection::kConv:
      return "convolution";
  }
  return "";
}

struct KindInWords {
  std::string operator()(const ExactOptions&) const { return "exact"; }
  std::string operator()(const NystromOptions& o) const {
    return fmt::format("nystrom, {} landmarks{}{}", o.landmarks,
                       o.exact_up_to > o.landmarks
                           ? fmt::format(", exact up to {} rows", grouped(o.exact_up_to))
                           : "",
                       o.conv > 0 ? fmt::format(", convolution of {} taps", o.conv) : "");
  }
  std::string operator()(const LinformerOptions& o) const {
    return fmt::format("linformer, {} projected rows ({}, {})", o.projected, in_words(o.projection),
                       in_words(o.sharing));
  }
};

std::string in_words(const nn::EmbeddingsOptions& embeddings) {
  const std::string patch =
      embeddings.patch > 1 ? fmt::format(" in patches of {}", embeddings.patch) : "";
  switch (embeddings.kind) {
    case nn::EmbeddingKind::kTokens:
      return "tokens" + patch;
    case nn::EmbeddingKind::kNgrams:
      return fmt::format("hashed {}-grams ({} buckets each){}",
                         fmt::join(embeddings.ngrams, "- and "), grouped(embeddings.buckets),
                         patch);
    case nn::EmbeddingKind::kConvolution:
      return "a convolution of tokens" + patch;
  }
  return "";
}

std::string task_in_words(const models::ModelConfig& config) {
  if (config.task == models::Task::kClassification) {
    return config.classes.size() == 1
               ? "a number for each text"
               : fmt::format("classification into {} classes", config.classes.size());
  }
  const std::string task = models::in_words(config.task);
  return config.classes.empty() ? task : fmt::format("{}, {} classes", task, config.classes.size());
}

std::string of_profile(const models::ModelConfig& config) {
  if (config.compat.profile == Profile::kNone) return "";
  const std::string& name = profile_name(config.compat.profile);
  return models::is_padded(config)
             ? fmt::format("; computed as \"{}\" does", name)
             : fmt::format("; computed as \"{}\" does a sequence that is alone, without padding",
                           name);
}

}  // namespace

std::string in_words(const AttentionKind& kind) { return std::visit(KindInWords{}, kind); }

std::string in_words(const models::ModelConfig& config) {
  std::vector<std::string> kinds;
  for (const AttentionKind& kind : config.attention) kinds.push_back(in_words(kind));
  const bool all_alike = std::all_of(kinds.begin(), kinds.end(),
                                     [&](const auto& kind) { return kind == kinds.front(); });
  return fmt::format(
      "{}; reads {}; {} layer{} of width {}, {} head{}, feed-forward {}, {}-norm; attention: {}{}",
      task_in_words(config), in_words(config.embeddings), config.layers,
      config.layers == 1 ? "" : "s", config.width, config.heads, config.heads == 1 ? "" : "s",
      config.feed_forward, config.norm == nn::NormPosition::kPre ? "pre" : "post",
      all_alike ? kinds.front() : fmt::format("{}", fmt::join(kinds, " | ")), of_profile(config));
}

}  // namespace lowrank::cli
