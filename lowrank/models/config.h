// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/base/config.h"
#include "lowrank/nn/embeddings.h"
#include "lowrank/nn/encoder_layer.h"
#include "lowrank/ops/attention_kind.h"

namespace lowrank::models {

// NystromOptions::exact_up_to of an attention of kind "auto" that names none: an instruction to
// measure from which length on Nystrom attention is the faster. A model is made with the number.
inline constexpr int64_t kToBeMeasured = -1;

enum class Task { kClassification, kMaskedLanguageModel };
enum class Pooling { kMean, kCls };

// The whole of a model: what config.json holds and what a recipe's [model] table sets. Keys are the
// field names.
struct ModelConfig {
  Task task = Task::kClassification;
  std::string tokenizer = "bytes";

  int64_t width = 64;  // c
  int64_t layers = 2;  // l
  int64_t heads = 2;   // h
  int64_t feed_forward = 128;
  std::string activation = "gelu";  // or "relu"
  nn::NormPosition norm = nn::NormPosition::kPre;
  double dropout = 0;

  nn::EmbeddingsOptions embeddings;  // [model.embeddings]; its width is this struct's
  std::vector<AttentionKind> attention = {NystromOptions{}};  // one for all layers, or one a layer

  Pooling pooling = Pooling::kMean;  // classification
  std::vector<std::string> classes;  // classification: label names in order
};

void describe(ConfigFields& fields, ModelConfig& config);

// Throws Error naming field, rule and remedy: heads divide width, attention has 1 or `layers`
// entries, MLM keeps one row a token, no attention is yet to be measured ...
void check(const ModelConfig& config, const std::string& where);

// The kind of layer i.
const AttentionKind& attention_of_layer(const ModelConfig& config, int64_t layer);

}  // namespace lowrank::models
