// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lowrank/models/config.h"

namespace lowrank::testing {

// A model of some two thousand weights: 20 tokens, 33 positions, sizes that are no powers of two.
inline models::ModelConfig small_config(const AttentionKind& kind,
                                        models::Task task = models::Task::kClassification) {
  models::ModelConfig config;
  config.task = task;
  config.width = 12;
  config.heads = 3;
  config.feed_forward = 20;
  config.attention = {kind};
  config.embeddings.vocabulary = 20;
  config.embeddings.max_positions = 33;
  if (task == models::Task::kClassification) config.classes = {"x", "y", "z"};
  return config;
}

}  // namespace lowrank::testing
