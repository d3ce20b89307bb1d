// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/model.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "lowrank/models/padding.h"
#include "lowrank/nn/initialize.h"
#include "lowrank/ops/segment_means.h"

namespace lowrank::models {
namespace {

constexpr int64_t kNoLoss = -100;  // label of what has none

at::Tensor run_as_made(const LayerStep& step) { return step(); }

nn::AttentionOptions attention_options(const ModelConfig& config, const AttentionKind& kind) {
  return {.width = config.width,
          .heads = config.heads,
          .kind = kind,
          .dropout = 0,
          .bias = true,
          .profile = config.compat.profile,
          .segment_length = config.compat.segment_length,
          .per_matrix_start = config.compat.per_matrix_start};
}

nn::EncoderLayerOptions layer_options(const ModelConfig& config, int64_t layer) {
  return {.attention = attention_options(config, attention_of_layer(config, layer)),
          .feed_forward = config.feed_forward,
          .activation = config.activation,
          .norm = config.norm,
          .dropout = config.dropout,
          .norm_epsilon = config.norm_epsilon};
}

torch::nn::LayerNorm layer_norm(const ModelConfig& config) {
  return torch::nn::LayerNorm(torch::nn::LayerNormOptions({config.width}).eps(config.norm_epsilon));
}

// The one E of the layers with layerwise sharing; undefined where no layer learns one.
at::Tensor make_shared_e(const ModelConfig& config) {
  for (const AttentionKind& attention : config.attention) {
    const auto* kind = std::get_if<LinformerOptions>(&attention);
    if (kind && kind->sharing == LinformerSharing::kLayerwise) {
      return nn::make_projection(attention_options(config, attention));
    }
  }
  return {};
}

// First row of each sequence, [b, c]; zeros for an empty one.
at::Tensor first_rows(const nn::Embedded& rows) {
  const at::Tensor starts = rows.offsets.slice(0, 0, -1);
  const at::Tensor empty = rows.offsets.diff().eq(0).to(rows.x.device());
  if (rows.x.size(0) == 0) return at::zeros({starts.size(0), rows.x.size(1)}, rows.x.options());
  const at::Tensor index = starts.clamp_max(rows.x.size(0) - 1).to(rows.x.device());
  return rows.x.index_select(0, index).masked_fill(empty.unsqueeze(1), 0);
}

// The rows of sequence i.
at::Tensor sequence(const at::Tensor& rows, const at::Tensor& offsets, int64_t i) {
  return rows.slice(0, offsets[i].item<int64_t>(), offsets[i + 1].item<int64_t>());
}

// The largest of each channel over a sequence's rows, [b, c]; zeros for an empty one.
at::Tensor largest_rows(const nn::Embedded& rows) {
  std::vector<at::Tensor> pooled;
  for (int64_t i = 0; i + 1 < rows.offsets.numel(); ++i) {
    const at::Tensor own = sequence(rows.x, rows.offsets, i);
    pooled.push_back(own.size(0) > 0 ? own.amax(0) : at::zeros({own.size(1)}, own.options()));
  }
  return pooled.empty() ? rows.x.slice(0, 0, 0) : at::stack(pooled);
}

// In float32 at least.
at::Tensor widened(const at::Tensor& logits) {
  return logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
}

// Mean over the labelled rows; zero, and connected to every parameter, where there are none.
at::Tensor cross_entropy(const at::Tensor& logits, const at::Tensor& labels) {
  if (logits.size(0) == 0 || !labels.ne(kNoLoss).any().item<bool>()) {
    return widened(logits).sum() * 0;
  }
  return at::cross_entropy_loss(widened(logits), labels.to(logits.device()));
}

// How many classifier outputs the task has; 0 where it has no classifier.
int64_t classifier_size(const ModelConfig& config) {
  switch (config.task) {
    case Task::kClassification:
    case Task::kTokenClassification:
    case Task::kRetrieval:
      return static_cast<int64_t>(config.classes.size());
    case Task::kQuestionAnswering:
      return 2;
    case Task::kMultipleChoice:
      return 1;
    case Task::kMaskedLanguageModel:
    case Task::kEncoder:
      break;
  }
  return 0;
}

void check_classes(const ModelConfig& config) {
  const bool about_tokens = config.task == Task::kTokenClassification;
  if (!is_about_classes(config.task) && !about_tokens) return;
  const bool may_be_number = config.task == Task::kClassification;
  if (config.classes.size() >= (may_be_number ? 1 : 2)) return;
  throw Error(fmt::format("ModelConfig: classes has {} entries; a {} needs {}. Name the classes.",
                          config.classes.size(), in_words(config.task),
                          may_be_number ? "two or more, or one for a number" : "two or more"));
}

// What retrieval makes of the pooled rows of each pair, [2 b, c] -> [b, 4 c].
at::Tensor compare_pairs(const at::Tensor& pooled) {
  TORCH_CHECK_VALUE(pooled.size(0) % 2 == 0, "lowrank::models::Model: ", pooled.size(0),
                    " sequences; retrieval reads pairs of them. Pass both of each pair.");
  const at::Tensor first = pooled.slice(0, 0, pooled.size(0), 2);
  const at::Tensor second = pooled.slice(0, 1, pooled.size(0), 2);
  return at::cat({first, second, first * second, first - second}, 1);
}

}  // namespace

Model::Model(ModelConfig config) : config_(std::move(config)) {
  config_.embeddings.width = config_.width;
  config_.embeddings.norm_epsilon = config_.norm_epsilon;
  if (config_.compat.profile == Profile::kHuggingFace ||
      config_.compat.profile == Profile::kFairseq) {
    config_.embeddings.padding_token = config_.compat.padding_token;
  }
  check(config_, "ModelConfig");
  check_classes(config_);
  const int64_t c = config_.width, v = config_.embeddings.vocabulary;
  embeddings_ = register_module("embeddings", nn::Embeddings(config_.embeddings));
  auto layers = register_module("layers", torch::nn::ModuleList());
  for (int64_t i = 0; i < config_.layers; ++i) {
    layers_.emplace_back(layer_options(config_, i));
    layers->push_back(layers_.back());
  }
  const at::Tensor shared_e = make_shared_e(config_);
  if (shared_e.defined()) shared_e_ = register_parameter("shared_e", shared_e);
  if (config_.norm == nn::NormPosition::kPre) {
    final_norm_ = register_module("final_norm", layer_norm(config_));
  }
  const bool language = config_.task == Task::kMaskedLanguageModel;
  int64_t head_inputs = config_.task == Task::kRetrieval ? 4 * c : c;
  if (language || config_.head_activation != nn::Activation::kNone) {
    const int64_t outputs = config_.head_width > 0 ? config_.head_width : c;
    dense_ = register_module("dense", torch::nn::Linear(head_inputs, outputs));
    nn::initialize(dense_);
    head_inputs = outputs;
  }
  if (const int64_t outputs = classifier_size(config_); outputs > 0) {
    classifier_ = register_module("classifier", torch::nn::Linear(head_inputs, outputs));
    nn::initialize(classifier_);
  }
  if (!language) return;
  head_norm_ = register_module("head_norm", layer_norm(config_));
  if (!config_.tied_output) {
    output_table_ = register_parameter("output_table", at::empty({v, c}));
    const at::NoGradGuard no_grad;
    nn::initialize_table(output_table_);
  }
  output_bias_ = register_parameter("output_bias", at::zeros({v}));
  if (!config_.sentence_order) return;
  order_dense_ = register_module("order_dense", torch::nn::Linear(c, c));
  order_classifier_ = register_module("order_classifier", torch::nn::Linear(c, 2));
  nn::initialize(order_dense_);
  nn::initialize(order_classifier_);
}

at::Tensor LayerStep::operator()() const {
  nn::EncoderLayer module = layer;
  return module(x, offsets, shared_e, mask);
}

// `states`, where wanted, gets the rows after the embeddings and after each layer.
nn::Embedded Model::walk_layers(const Inputs& inputs, const RunLayer& run,
                                std::vector<at::Tensor>* states) {
  TORCH_CHECK_VALUE(!inputs.mask.defined() || is_padded(config_),
                    "lowrank::models::Model: a mask is for models with a compat profile that pads; "
                    "batches here have no padding. Leave the paddings out.");
  auto [x, offsets] = embeddings_(inputs.tokens, inputs.offsets, inputs.segments);
  at::Tensor mask;
  if (inputs.mask.defined()) {
    mask = inputs.mask.view({offsets.numel() - 1, -1}).to(x.device());
    // fairseq's encoder sets the embeddings of paddings to zero; transformers' does not.
    if (config_.compat.profile == Profile::kFairseq) x = x * inputs.mask.to(x).unsqueeze(1);
  }
  if (states) states->push_back(x);
  for (size_t i = 0; i < layers_.size(); ++i) {
    x = run({static_cast<int64_t>(i), layers_[i], x, offsets, shared_e_, mask});
    if (!x.defined()) return {};
    if (states) states->push_back(x);
  }
  if (final_norm_) x = final_norm_(x);
  if (states) states->back() = x;
  return {x, offsets};
}

nn::Embedded Model::walk(const Inputs& inputs, const RunLayer& run) {
  const bool as_it_is = !is_padded(config_) || inputs.mask.defined();
  return walk_layers(as_it_is ? inputs : pad(inputs, config_).inputs, run, nullptr);
}

nn::Embedded Model::encode(const Inputs& inputs) {
  if (!is_padded(config_) || inputs.mask.defined()) {
    return walk_layers(inputs, &run_as_made, nullptr);
  }
  const Padded padded = pad(inputs, config_);
  return {walk_layers(padded.inputs, &run_as_made, nullptr).x.index_select(0, padded.rows),
          inputs.offsets};
}

std::vector<at::Tensor> Model::hidden_states(const Inputs& inputs) {
  std::vector<at::Tensor> states;
  if (!is_padded(config_) || inputs.mask.defined()) {
    walk_layers(inputs, &run_as_made, &states);
    return states;
  }
  const Padded padded = pad(inputs, config_);
  walk_layers(padded.inputs, &run_as_made, &states);
  for (at::Tensor& rows : states) rows = rows.index_select(0, padded.rows);
  return states;
}

at::Tensor Model::pool(const nn::Embedded& rows, Pooling pooling) const {
  switch (pooling) {
    case Pooling::kCls:
      return first_rows(rows);
    case Pooling::kMax:
      return largest_rows(rows);
    case Pooling::kMean:
      break;
  }
  return segment_means(rows.x, rows.offsets, 1).squeeze(1);
}

at::Tensor Model::head_of_pooled(const at::Tensor& pooled) {
  const at::Tensor read = config_.task == Task::kRetrieval ? compare_pairs(pooled) : pooled;
  const at::Tensor x = dense_ ? nn::activate(dense_(read), config_.head_activation) : read;
  return classifier_ ? classifier_(x) : x;
}

at::Tensor Model::head_of_rows(const at::Tensor& rows) {
  if (config_.task != Task::kMaskedLanguageModel) return classifier_(rows);
  const at::Tensor hidden = head_norm_(nn::activate(dense_(rows), config_.activation));
  const at::Tensor& table = config_.tied_output ? embeddings_->token_table() : output_table_;
  return at::linear(hidden, table, output_bias_);
}

at::Tensor Model::head(const nn::Embedded& rows) {
  if (is_about_tokens(config_.task)) return head_of_rows(rows.x);
  return head_of_pooled(pool(rows, config_.pooling));
}

at::Tensor Model::logits(const Inputs& inputs) { return head(encode(inputs)); }

at::Tensor Model::answer_loss(const nn::Embedded& rows, const at::Tensor& labels) {
  const at::Tensor logits = widened(head_of_rows(rows.x));  // [total, 2]
  const at::Tensor places = labels.cpu();
  at::Tensor sum[2];
  int64_t count[2] = {0, 0};
  for (int64_t i = 0; i < places.size(0); ++i) {
    const at::Tensor own = sequence(logits, rows.offsets, i).log_softmax(0);
    for (const int64_t end : {0, 1}) {
      const int64_t place = places[i][end].item<int64_t>();
      if (place < 0 || place >= own.size(0)) continue;
      const at::Tensor loss = -own[place][end];
      sum[end] = sum[end].defined() ? sum[end] + loss : loss;
      ++count[end];
    }
  }
  at::Tensor loss = logits.sum() * 0;
  for (const int64_t end : {0, 1}) {
    if (count[end] > 0) loss = loss + sum[end] / (2 * count[end]);
  }
  return loss;
}

at::Tensor Model::order_logits(const nn::Embedded& rows) {
  TORCH_CHECK_VALUE(
      config_.sentence_order,
      "lowrank::models::Model: the model has no head for the order of sentences. Make "
      "it with sentence_order = true.");
  return order_classifier_(at::tanh(order_dense_(first_rows(rows))));
}

at::Tensor Model::loss(const Inputs& inputs, const at::Tensor& labels, const at::Tensor& order) {
  const nn::Embedded rows = encode(inputs);
  const int64_t sequences = rows.offsets.numel() - 1;
  const bool about_rows =
      config_.task == Task::kMaskedLanguageModel || config_.task == Task::kTokenClassification;
  const bool about_pairs = config_.task == Task::kRetrieval;
  const int64_t expected = about_rows ? rows.x.size(0) : about_pairs ? sequences / 2 : sequences;
  const int64_t found = labels.dim() > 0 ? labels.size(0) : 0;
  if (config_.task == Task::kMultipleChoice) {
    TORCH_CHECK_VALUE(labels.dim() == 1 && found > 0 && sequences % found == 0,
                      "lowrank::models::Model: labels have sizes ", labels.sizes(), "; ", sequences,
                      " sequences must be so many times the same number of choices. Pass one label "
                      "a question.");
    return cross_entropy(head(rows).view({found, sequences / found}), labels);
  }
  const bool answers = config_.task == Task::kQuestionAnswering;
  TORCH_CHECK_VALUE(config_.task != Task::kEncoder,
                    "lowrank::models::Model: an encoder has no loss. Give the model a task.");
  TORCH_CHECK_VALUE(
      labels.dim() == (answers ? 2 : 1) && found == expected && (!answers || labels.size(1) == 2),
      "lowrank::models::Model: labels have sizes ", labels.sizes(), "; ", expected, " are needed, ",
      answers ? "a first and a last token " : "",
      about_rows    ? "one a token"
      : about_pairs ? "one a pair"
                    : "one a sequence",
      ". Pass the labels of this batch.");
  if (answers) return answer_loss(rows, labels);
  if (config_.task == Task::kMaskedLanguageModel) {  // the output layer is the largest by far
    const at::Tensor labelled = labels.ne(kNoLoss).nonzero().squeeze(1);
    const at::Tensor loss =
        cross_entropy(head_of_rows(rows.x.index_select(0, labelled.to(rows.x.device()))),
                      labels.index_select(0, labelled));
    return order.defined() ? loss + cross_entropy(order_logits(rows), order) : loss;
  }
  const at::Tensor logits = head(rows);
  if (config_.task == Task::kClassification && classifier_->options.out_features() == 1) {
    return at::mse_loss(widened(logits).squeeze(1), widened(labels).to(logits.device()));
  }
  return cross_entropy(logits, labels);
}

int64_t parameter_count(const Model& model) {
  int64_t count = 0;
  for (const at::Tensor& parameter : model.parameters()) count += parameter.numel();
  return count;
}

}  // namespace lowrank::models
