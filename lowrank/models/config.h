// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/base/config.h"
#include "lowrank/nn/embeddings.h"
#include "lowrank/nn/encoder_layer.h"
#include "lowrank/ops/attention_kind.h"
#include "lowrank/ops/profile.h"

namespace lowrank::models {

// NystromOptions::exact_up_to of an attention of kind "auto" that names none: an instruction to
// measure from which length on Nystrom attention is the faster. A model is made with the number.
inline constexpr int64_t kToBeMeasured = -1;

enum class Task {
  kClassification,
  kMaskedLanguageModel,
  kEncoder,              // rows and a vector for each sequence, no head
  kTokenClassification,  // a class for each token
  kQuestionAnswering,    // the first and the last token of an answer
  kMultipleChoice,       // a score for each sequence; the choices of one question compete
  kRetrieval,            // a class for each two sequences, which the same encoder reads
};
enum class Pooling { kMean, kCls, kMax };

// How another implementation computes what the model was trained with; kNone: as this library does.
// Keys of [model.compat]. kHuggingFace and kMlpen (Nystrom attention), kFairseq (Linformer attention):
// sequences are padded with padding_token, as that implementation's users do, and what the paddings
// change is changed here too. Nystrom: to segment_length, where that is not `landmarks`; else to the
// longest sequence of the batch.
struct CompatOptions {
  Profile profile = Profile::kNone;
  int64_t segment_length = 0;     // Nystrom: of compat::Options
  bool per_matrix_start = false;  // Nystrom: of compat::Options
  int64_t padding_token = 0;
  // Without paddings where false: kFairseq alone, whose function of a sequence that is alone is then that
  // of every sequence. Its order of E and bias remains.
  bool padded = true;
};

// The whole of a model: what config.json holds and what a recipe's [model] table sets. Keys are the
// field names.
struct ModelConfig {
  Task task = Task::kClassification;
  std::string tokenizer = "bytes";

  int64_t width = 64;  // c
  int64_t layers = 2;  // l
  int64_t heads = 2;   // h
  int64_t feed_forward = 128;
  nn::Activation activation = nn::Activation::kGelu;  // gelu, gelu_tanh or relu
  nn::NormPosition norm = nn::NormPosition::kPre;
  double norm_epsilon = 1e-5;  // of every LayerNorm
  double dropout = 0;

  nn::EmbeddingsOptions embeddings;  // [model.embeddings]; width and norm_epsilon are this struct's
  std::vector<AttentionKind> attention = {NystromOptions{}};  // one for all layers, or one a layer

  CompatOptions compat;  // [model.compat]

  Pooling pooling = Pooling::kMean;  // of a sequence's rows into one
  // What stands between the pooled row and what is made of it: nothing, or a dense layer and this.
  nn::Activation head_activation = nn::Activation::kNone;
  int64_t head_width = 0;   // outputs of that dense layer, of classifiers and retrieval; 0: width
  bool tied_output = true;  // masked language model: the output layer is the token table
  // Masked language model: it also tells whether the two texts of a sequence stand in their order (ALBERT,
  // arXiv:1909.11942, 3.1), with a head of its own.
  bool sentence_order = false;
  // Classification, of tokens too, and retrieval: label names in order. Of a classifier one name: the
  // output is a number, not a class.
  std::vector<std::string> classes;
};

void describe(ConfigFields& fields, ModelConfig& config);

// Throws Error naming field, rule and remedy: heads divide width, attention has 1 or `layers`
// entries, a task about tokens keeps one row a token, no attention is yet to be measured ...
void check(const ModelConfig& config, const std::string& where);

// Whether sequences are padded, and a result so hangs on the rest of its batch.
bool is_padded(const ModelConfig& config);

// Whether the task's output has one row for each token.
bool is_about_tokens(Task task);

// Whether the task gives each example one of the classes: classification and retrieval.
bool is_about_classes(Task task);

// "masked language model", as messages say it.
std::string in_words(Task task);

// The kind of layer i.
const AttentionKind& attention_of_layer(const ModelConfig& config, int64_t layer);

}  // namespace lowrank::models
