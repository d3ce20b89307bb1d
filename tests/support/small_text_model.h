// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Context.h>

#include <memory>

#include "lowrank/models/derive.h"
#include "lowrank/serve/text_model.h"
#include "tests/support/small_config.h"

namespace lowrank::testing {

// small_config with one token a byte, and 33 positions: texts of up to 31 bytes fit.
inline models::ModelConfig small_text_config(models::Task task = models::Task::kEncoder,
                                             const AttentionKind& kind = ExactOptions{}) {
  models::ModelConfig config = small_config(kind, task);
  config.embeddings.vocabulary = 259;
  config.tokenizer = "bytes";
  return config;
}

// A model of that configuration with weights drawn from `seed`.
inline serve::TextModel small_text_model(const models::ModelConfig& config = small_text_config(),
                                         uint64_t seed = 1) {
  at::manual_seed(seed);
  serve::TextModel model;
  model.model = std::make_shared<models::Model>(config);
  model.model->eval();
  model.tokenizer = text::make_tokenizer("bytes");
  model.max_length = models::longest_sequence(config);
  return model;
}

}  // namespace lowrank::testing
