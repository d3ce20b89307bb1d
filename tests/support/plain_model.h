// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>

#include <functional>
#include <string>
#include <vector>

#include "lowrank/text/tokenizer_files.h"
#include "tests/support/small_text_model.h"
#include "tests/support/small_tokenizers.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::testing {

// A model whose output for a token hangs on that token alone: its likeliest output is output_of(id).
// Without layers and positions, so that any length fits.
inline serve::TextModel plain_model(models::Task task, std::vector<std::string> classes,
                                    const std::function<int64_t(int64_t id)>& output_of) {
  models::ModelConfig config = small_text_config(task);
  config.layers = 0;
  config.embeddings.positions = nn::Positions::kNone;
  config.classes = std::move(classes);
  serve::TextModel model = small_text_model(config);
  auto parameters = model.model->named_parameters();
  const at::NoGradGuard no_grad;
  at::Tensor& table = parameters["embeddings.tokens"];
  table.zero_();
  for (int64_t id = 0; id < table.size(0); ++id) table[id][output_of(id)] = 1;
  parameters["classifier.weight"].copy_(
      at::eye(parameters["classifier.weight"].size(0), config.width));
  return model;
}

// The model's tokenizer becomes that of a tokenizer.json, which is written into `folder`.
inline void give_tokenizer(serve::TextModel& model, const json& tokenizer,
                           const TemporaryFolder& folder) {
  folder.write("tokenizer.json", tokenizer.dump());
  model.tokenizer = text::load_tokenizer(folder.path());
}

}  // namespace lowrank::testing
