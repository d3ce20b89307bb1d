// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/model.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "lowrank/base/file.h"
#include "lowrank/io/safetensors.h"
#include "lowrank/nn/initialize.h"
#include "lowrank/ops/segment_means.h"

namespace lowrank::models {
namespace {

constexpr int64_t kNoLoss = -100;  // label of a row that has none
constexpr const char* kFormat = "lowrank-model";
constexpr int64_t kVersion = 1;

nn::AttentionOptions attention_options(const ModelConfig& config, const AttentionKind& kind) {
  return {.width = config.width, .heads = config.heads, .kind = kind, .dropout = 0, .bias = true};
}

nn::EncoderLayerOptions layer_options(const ModelConfig& config, int64_t layer) {
  return {.attention = attention_options(config, attention_of_layer(config, layer)),
          .feed_forward = config.feed_forward,
          .activation = config.activation,
          .norm = config.norm,
          .dropout = config.dropout,
          .norm_epsilon = 1e-5};
}

torch::nn::LayerNorm layer_norm(int64_t width) {
  return torch::nn::LayerNorm(std::vector<int64_t>{width});
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

void describe_file(ConfigFields& fields, ModelConfig& config) {
  std::string format = kFormat;
  int64_t version = kVersion;
  fields.required("format");
  fields.choice("format", format, {{kFormat, kFormat}});
  fields.required("version");
  fields.number("version", version, kVersion, kVersion);
  fields.required("model");
  fields.object("model", [&](ConfigFields& inner) { describe(inner, config); });
}

std::string shown(const at::Tensor& tensor) {
  return fmt::format("{} [{}]", c10::toString(tensor.scalar_type()),
                     fmt::join(tensor.sizes().vec(), ", "));
}

// One line for each tensor that keeps `tensors` from being the model's parameters.
std::vector<std::string> differences(const Model& model,
                                     const std::map<std::string, at::Tensor>& tensors) {
  std::vector<std::string> lines;
  const auto parameters = model.named_parameters();
  for (const auto& parameter : parameters) {
    const auto found = tensors.find(parameter.key());
    if (found == tensors.end()) {
      lines.push_back(fmt::format("\"{}\" is missing", parameter.key()));
    } else if (found->second.sizes() != parameter->sizes() ||
               found->second.scalar_type() != parameter->scalar_type()) {
      lines.push_back(fmt::format("\"{}\" is {} instead of {}", parameter.key(),
                                  shown(found->second), shown(*parameter)));
    }
  }
  for (const auto& [name, tensor] : tensors) {
    if (!parameters.contains(name)) lines.push_back(fmt::format("\"{}\" is extra", name));
  }
  return lines;
}

}  // namespace

Model::Model(ModelConfig config) : config_(std::move(config)) {
  config_.embeddings.width = config_.width;
  check(config_, "ModelConfig");
  const int64_t c = config_.width;
  embeddings_ = register_module("embeddings", nn::Embeddings(config_.embeddings));
  auto layers = register_module("layers", torch::nn::ModuleList());
  for (int64_t i = 0; i < config_.layers; ++i) {
    layers_.emplace_back(layer_options(config_, i));
    layers->push_back(layers_.back());
  }
  const at::Tensor shared_e = make_shared_e(config_);
  if (shared_e.defined()) shared_e_ = register_parameter("shared_e", shared_e);
  if (config_.norm == nn::NormPosition::kPre) {
    final_norm_ = register_module("final_norm", layer_norm(c));
  }
  if (config_.task == Task::kClassification) {
    const auto classes = static_cast<int64_t>(config_.classes.size());
    if (classes < 2) {
      throw Error(
          fmt::format("ModelConfig: classes has {} entries; a classifier needs two or more. "
                      "Name the classes.",
                      classes));
    }
    classifier_ = register_module("classifier", torch::nn::Linear(c, classes));
    nn::initialize(classifier_);
    return;
  }
  dense_ = register_module("dense", torch::nn::Linear(c, c));
  nn::initialize(dense_);
  head_norm_ = register_module("head_norm", layer_norm(c));
  output_bias_ = register_parameter("output_bias", at::zeros({config_.embeddings.vocabulary}));
}

nn::Embedded Model::encode(const Inputs& inputs) {
  auto [x, offsets] = embeddings_(inputs.tokens, inputs.offsets, inputs.segments);
  for (nn::EncoderLayer& layer : layers_) x = layer(x, offsets, shared_e_);
  if (final_norm_) x = final_norm_(x);
  return {x, offsets};
}

at::Tensor Model::pool(const nn::Embedded& rows) const {
  if (config_.pooling == Pooling::kCls) return first_rows(rows);
  return segment_means(rows.x, rows.offsets, 1).squeeze(1);
}

at::Tensor Model::head(const at::Tensor& rows) {
  if (classifier_) return classifier_(rows);
  const at::Tensor hidden = head_norm_(at::gelu(dense_(rows)));
  return at::linear(hidden, embeddings_->token_table(), output_bias_);
}

at::Tensor Model::logits(const Inputs& inputs) {
  const nn::Embedded rows = encode(inputs);
  return head(classifier_ ? pool(rows) : rows.x);
}

at::Tensor Model::loss(const Inputs& inputs, const at::Tensor& labels) {
  const nn::Embedded rows = encode(inputs);
  const at::Tensor predicted = classifier_ ? pool(rows) : rows.x;
  TORCH_CHECK_VALUE(labels.dim() == 1 && labels.size(0) == predicted.size(0),
                    "lowrank::models::Model: labels have sizes ", labels.sizes(), "; ",
                    predicted.size(0), " are needed, one a ", classifier_ ? "sequence" : "token",
                    ". Pass the labels of this batch.");
  const at::Tensor labelled = labels.ne(kNoLoss).nonzero().squeeze(1).to(predicted.device());
  at::Tensor logits = head(predicted.index_select(0, labelled));
  if (logits.scalar_type() != at::kDouble) logits = logits.to(at::kFloat);
  if (labelled.size(0) == 0) return logits.sum();  // zero, and connected to every parameter
  return at::cross_entropy_loss(logits, labels.to(logits.device()).index_select(0, labelled));
}

int64_t parameter_count(const Model& model) {
  int64_t count = 0;
  for (const at::Tensor& parameter : model.parameters()) count += parameter.numel();
  return count;
}

void save_model(const Model& model, const std::filesystem::path& folder) {
  ModelConfig config = model.config();
  const Json json = write_config([&](ConfigFields& fields) { describe_file(fields, config); });
  replace_file(folder / "config.json", json.dump(2) + "\n");
  io::NamedTensors tensors;
  for (const auto& parameter : model.named_parameters()) {
    tensors.emplace_back(parameter.key(), parameter.value().detach());
  }
  io::save_safetensors(folder / "model.safetensors", tensors, {{"format", kFormat}});
}

std::shared_ptr<Model> load_model(const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / "config.json";
  ModelConfig config;
  read_config(parse_json(read_file(config_path), config_path.string()), config_path.string(),
              [&](ConfigFields& fields) { describe_file(fields, config); });
  check(config, config_path.string());
  const auto model = std::make_shared<Model>(config);

  const std::filesystem::path weights_path = folder / "model.safetensors";
  const io::NamedTensors stored = io::load_safetensors(weights_path);
  const std::map<std::string, at::Tensor> tensors(stored.begin(), stored.end());
  if (!stored.empty() && stored.front().second.is_floating_point()) {
    model->to(stored.front().second.scalar_type());
  }
  const std::vector<std::string> lines = differences(*model, tensors);
  if (!lines.empty()) {
    throw Error(
        fmt::format("{}: {} of its tensors do not fit config.json: {}. Use both files of one "
                    "saved model.",
                    weights_path.string(), lines.size(), fmt::join(lines, "; ")));
  }
  const at::NoGradGuard no_grad;
  for (auto& parameter : model->named_parameters()) parameter->copy_(tensors.at(parameter.key()));
  model->eval();
  return model;
}

}  // namespace lowrank::models
