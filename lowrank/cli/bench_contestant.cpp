// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/bench_contestant.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>

#include "lowrank/cli/misuse.h"
#include "lowrank/data/batch.h"
#include "lowrank/models/dtype.h"
#include "lowrank/nn/encoder_layer.h"
#include "lowrank/train/autocast.h"
#include "lowrank/train/optimizer.h"
#include "lowrank/train/trainer.h"

namespace lowrank::cli {
namespace {

using at::Tensor;
using Tensors = std::vector<Tensor>;

constexpr uint64_t kSeed = 1;

Tensor offsets_of(int64_t n) { return at::tensor({int64_t{0}, n}, at::kLong); }

// The output of `forward` and, with `backward`, the gradients of `inputs`.
Tensors results_of(const std::function<Tensor()>& forward, const Tensors& inputs,
                   const Tensor& gradient, bool backward) {
  const at::AutoGradMode mode(backward);
  Tensors results = {forward()};
  if (!backward) return results;
  Tensors gradients = torch::autograd::grad({results[0]}, inputs, {gradient}, {}, false,
                                            /*allow_unused=*/true);
  results[0] = results[0].detach();
  results.insert(results.end(), gradients.begin(), gradients.end());
  return results;
}

// ---- attention: the operator alone

Contestant attention(const BenchFlags& flags, const std::string& name, int64_t n) {
  at::manual_seed(kSeed);
  const auto options = at::TensorOptions(models::dtype_of(flags.dtype));
  const auto random = [&](at::IntArrayRef sizes) { return at::randn(sizes).to(options); };
  Tensors x;
  for (int i = 0; i < 3; ++i) x.push_back(random({n, flags.heads, flags.head_size}));
  const Tensor gradient = random({n, flags.heads, flags.head_size}), offsets = offsets_of(n);
  const AttentionKind kind = kind_of(flags, name, n);
  const auto* nystrom = std::get_if<NystromOptions>(&kind);
  const auto* linformer = std::get_if<LinformerOptions>(&kind);
  if (nystrom && nystrom->conv > 0) x.push_back(at::zeros({flags.heads, nystrom->conv}, options));
  if (linformer) {
    x.push_back(random({linformer->projected, n}) / std::sqrt(static_cast<double>(n)));
  }
  for (Tensor& one : x) one.requires_grad_(flags.backward);
  const auto attend = [=]() -> Tensor {
    if (const auto* chosen = std::get_if<NystromOptions>(&kind)) {
      const Tensor filter = chosen->conv > 0 ? x[3] : Tensor();
      return nystrom_attention(x[0], x[1], x[2], offsets, *chosen, filter);
    }
    if (std::holds_alternative<LinformerOptions>(kind)) {
      return linformer_attention(x[0], x[1], x[2], x[3], {}, offsets);
    }
    return exact_attention(x[0], x[1], x[2], offsets);
  };
  const bool backward = flags.backward;
  return {name, [=] { return results_of(attend, x, gradient, backward); }};
}

// ---- layer: an encoder layer, its feed-forward four times as wide

nn::EncoderLayer make_layer(const BenchFlags& flags, const AttentionKind& kind) {
  at::manual_seed(kSeed);
  const int64_t width = flags.heads * flags.head_size;
  nn::EncoderLayerOptions options;
  options.attention = {
      .width = width, .heads = flags.heads, .kind = kind, .dropout = 0, .bias = true};
  options.feed_forward = 4 * width;
  return nn::EncoderLayer(options);
}

Contestant layer(const BenchFlags& flags, const std::string& name, int64_t n) {
  const at::NoGradGuard no_grad;
  const nn::EncoderLayer exact = make_layer(flags, ExactOptions{});
  nn::EncoderLayer chosen = make_layer(flags, kind_of(flags, name, n));
  auto parameters = chosen->named_parameters();
  for (const auto& shared : exact->named_parameters())
    parameters[shared.key()].copy_(shared.value());
  if (chosen->attention->filter.defined()) chosen->attention->filter.zero_();
  chosen->to(models::dtype_of(flags.dtype));
  chosen->train(flags.backward);

  at::manual_seed(kSeed);
  const Tensor x = at::randn({n, flags.heads * flags.head_size}).to(models::dtype_of(flags.dtype));
  const Tensor gradient = at::randn_like(x), offsets = offsets_of(n);
  Tensors inputs = chosen->parameters();
  inputs.push_back(x.requires_grad_(flags.backward));
  const bool backward = flags.backward;
  const auto forward = [=]() mutable { return chosen->forward(x, offsets); };
  return {name, [=] { return results_of(forward, inputs, gradient, backward); }};
}

// ---- model and train: a whole model, and a step of its training

std::shared_ptr<models::Model> make_model(const BenchFlags& flags, models::ModelConfig config,
                                          const std::string& name, int64_t n) {
  const int64_t rows = (n + config.embeddings.patch - 1) / config.embeddings.patch;
  config.embeddings.max_positions = std::max(config.embeddings.max_positions, rows);
  config.attention = {kind_of(flags, name, config.embeddings.max_positions)};
  at::manual_seed(kSeed);
  return std::make_shared<models::Model>(config);
}

models::Inputs tokens_of(const models::ModelConfig& config, int64_t n) {
  at::manual_seed(kSeed);
  return {.tokens = at::randint(0, config.embeddings.vocabulary, {n}, at::kLong),
          .offsets = offsets_of(n),
          .segments = {}};
}

// Of the classifier the first class; of a language model each seventh token, as masks do.
Tensor labels_of(const models::ModelConfig& config, int64_t n) {
  if (config.task == models::Task::kClassification) return at::zeros({1}, at::kLong);
  const Tensor place = at::arange(n);
  return place.remainder(7).eq(0).logical_not().mul(data::kNoLoss);
}

Contestant model(const BenchFlags& flags, const models::ModelConfig& config,
                 const std::string& name, int64_t n) {
  const auto made = make_model(flags, config, name, n);
  made->to(models::dtype_of(flags.dtype));
  made->train(flags.backward);
  const models::Inputs inputs = tokens_of(config, n);
  const Tensor labels = labels_of(config, n);
  const bool backward = flags.backward;
  const auto forward = [=] { return backward ? made->loss(inputs, labels) : made->logits(inputs); };
  const Tensor gradient = at::ones({});
  return {name, [=] { return results_of(forward, made->parameters(), gradient, backward); }};
}

Contestant train_step(const BenchFlags& flags, const models::ModelConfig& config,
                      const std::string& name, int64_t n) {
  const auto made = make_model(flags, config, name, n);
  const auto optimizer = std::make_shared<train::AdamW>(*made, train::TrainOptions{});
  const models::Inputs inputs = tokens_of(config, n);
  const Tensor labels = labels_of(config, n);
  const train::Precision precision =
      flags.dtype == "bfloat16" ? train::Precision::kBfloat16 : train::Precision::kFloat32;
  return {name, [=]() -> Tensors {
            optimizer->zero_grad();
            Tensor loss;
            {
              const train::Autocast autocast(at::kCPU, precision);
              loss = made->loss(inputs, labels);
            }
            loss.backward();
            optimizer->clip(1);
            optimizer->step(1);
            return {loss.detach()};
          }};
}

}  // namespace

AttentionKind kind_of(const BenchFlags& flags, const std::string& kind, int64_t longest) {
  const size_t dash = kind.find('-');
  const std::string name = kind.substr(0, dash);
  const auto size_or = [&](int64_t of_flags) {
    return dash == std::string::npos ? of_flags : std::stoll(kind.substr(dash + 1));
  };
  if (name == "exact") return ExactOptions{};
  if (name == "nystrom") {
    NystromOptions nystrom = flags.nystrom;
    nystrom.landmarks = size_or(nystrom.landmarks);
    return nystrom;
  }
  const int64_t projected = size_or(flags.projected);
  return LinformerOptions{.projected = projected, .max_length = std::max(longest, projected)};
}

models::ModelConfig model_of(const BenchFlags& flags) {
  models::ModelConfig config;
  if (flags.model.empty()) {
    config.heads = flags.heads;
    config.width = flags.heads * flags.head_size;
    config.feed_forward = 4 * config.width;
  } else if (std::filesystem::is_directory(flags.model)) {
    config = train::load_trained(flags.model).recipe.model;
  } else {
    try {
      config = train::load_recipe(flags.model).model;
    } catch (const Error& error) {
      throw Misuse(error.what());
    }
  }
  // A text costs a retrieval model what it costs a classifier.
  if (config.task == models::Task::kRetrieval) config.task = models::Task::kClassification;
  const bool classifies = config.task == models::Task::kClassification;
  if (classifies && config.classes.empty()) config.classes = {"a", "b"};  // else the data's
  return config;
}

Contestant make_contestant(const BenchFlags& flags, const models::ModelConfig& model_config,
                           const std::string& kind, int64_t n) {
  if (flags.what == "attention") return attention(flags, kind, n);
  if (flags.what == "layer") return layer(flags, kind, n);
  if (flags.what == "model") return model(flags, model_config, kind, n);
  return train_step(flags, model_config, kind, n);
}

}  // namespace lowrank::cli
