// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/Context.h>

#include <string>

#include "lowrank/models/hugging_face.h"
#include "tests/support/small_tokenizers.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::testing {

// A directory as transformers writes one: BERT of two layers with the head of a task, 24 positions, and
// the tokenizer of small_word_piece().
class BertFolder {
 public:
  explicit BertFolder(models::Task task) {
    models::ModelConfig config;
    config.task = task;
    config.tokenizer = "files";
    config.width = 8;
    config.feed_forward = 12;
    config.norm = nn::NormPosition::kPost;
    config.norm_epsilon = 1e-12;
    config.embeddings.vocabulary = 14;
    config.embeddings.max_positions = 24;
    config.embeddings.segments = 2;
    config.embeddings.norm = true;
    config.attention = {ExactOptions{}};
    config.pooling = models::Pooling::kCls;
    const bool of_rows = models::is_about_tokens(task);
    if (!of_rows) config.head_activation = nn::Activation::kTanh;
    if (task == models::Task::kClassification) config.classes = {"no", "yes", "perhaps"};
    if (task == models::Task::kTokenClassification) config.classes = {"B-X", "I-X", "B-Y"};
    at::manual_seed(3);
    models::save_hugging_face(models::Model(config), folder_.path());
    folder_.write("tokenizer.json", small_word_piece().dump());
  }

  std::string path() const { return folder_.path().string(); }
  std::string write(const std::string& name, const std::string& content) const {
    return folder_.write(name, content);
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace lowrank::testing
