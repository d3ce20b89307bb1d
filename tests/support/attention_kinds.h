// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lowrank/ops/attention_kind.h"

namespace lowrank::testing {

struct NamedKind {
  std::string name;
  AttentionKind kind;
};

// Every attention kind, and of Linformer every sharing with every projection. Sizes are small and
// odd: 4 landmarks, 5 projected rows, 33 rows at most, so that windows of 7 do not divide anything.
inline std::vector<NamedKind> attention_kinds() {
  std::vector<NamedKind> kinds = {
      {"exact", ExactOptions{}},
      {"nystrom", NystromOptions{.landmarks = 4}},
      {"nystrom_conv", NystromOptions{.landmarks = 4, .conv = 5}},
  };
  const std::vector<std::pair<std::string, LinformerSharing>> sharings = {
      {"none", LinformerSharing::kNone},
      {"headwise", LinformerSharing::kHeadwise},
      {"kv", LinformerSharing::kKeyValue},
      {"layerwise", LinformerSharing::kLayerwise}};
  const std::vector<std::pair<std::string, LinformerProjection>> projections = {
      {"linear", LinformerProjection::kLinear},
      {"mean_pool", LinformerProjection::kMeanPool},
      {"max_pool", LinformerProjection::kMaxPool},
      {"conv", LinformerProjection::kConv}};
  for (const auto& [sharing_name, sharing] : sharings) {
    for (const auto& [projection_name, projection] : projections) {
      kinds.push_back(
          {"linformer_" + sharing_name + "_" + projection_name,
           LinformerOptions{
               .projected = 5, .max_length = 33, .sharing = sharing, .projection = projection}});
    }
  }
  return kinds;
}

template <class TestInfo>
std::string kind_name(const TestInfo& info) {
  return info.param.name;
}

}  // namespace lowrank::testing
