// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/evaluate.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "lowrank/train/inputs.h"

namespace lowrank::train {
namespace {

using Progress = std::function<void(int64_t done, int64_t total)>;

// Evaluation mode without gradients, and back, whatever happens in between.
class EvaluationMode {
 public:
  explicit EvaluationMode(models::Model& model) : model_(model), training_(model.is_training()) {
    model_.eval();
  }
  ~EvaluationMode() { model_.train(training_); }
  EvaluationMode(const EvaluationMode&) = delete;
  EvaluationMode& operator=(const EvaluationMode&) = delete;

 private:
  at::NoGradGuard no_grad_;
  models::Model& model_;
  bool training_;
};

void check_examples(const models::ModelConfig& config, const data::Dataset& dataset) {
  if (dataset.examples.empty()) {
    throw Error("evaluate: the dataset has no examples. Give one that has, or a larger share.");
  }
  if (!models::is_about_classes(config.task)) return;
  if (dataset.classes != config.classes) {
    throw Error(
        fmt::format("evaluate: the data's classes are {}, the model's are {}; they must be "
                    "the same in the same order. Evaluate on data with the model's classes.",
                    fmt::join(dataset.classes, ", "), fmt::join(config.classes, ", ")));
  }
  for (const data::Example& example : dataset.examples) {
    if (example.label >= 0) continue;
    throw Error(
        fmt::format("evaluate: {} has no label; every example needs one. Use predict for "
                    "data without labels.",
                    example.source));
  }
}

// Calls visit(batch, logits) for every batch.
template <class Visit>
void for_each_batch(models::Model& model, const data::Dataset& dataset,
                    const text::Tokenizer& tokenizer, const data::BatchOptions& options,
                    const Progress& progress, const Visit& visit) {
  // The batches end with this call, so they need not share the tokenizer's ownership.
  const std::shared_ptr<const text::Tokenizer> borrowed(std::shared_ptr<void>(), &tokenizer);
  data::EvaluationBatches batches(dataset, borrowed, options);
  const auto total = static_cast<int64_t>(dataset.examples.size());
  int64_t done = 0;
  for (data::Batch batch; batches.next(batch);) {
    visit(batch, model.logits(inputs_for(model, batch)).to(at::kCPU));
    done += batch.size();
    if (progress) progress(done, total);
  }
}

double summed_loss(const at::Tensor& logits, const at::Tensor& labels) {
  return at::cross_entropy_loss(logits.to(at::kDouble), labels, {}, at::Reduction::Sum)
      .item<double>();
}

Evaluation evaluate_classes(models::Model& model, const data::Dataset& dataset,
                            const text::Tokenizer& tokenizer, const data::BatchOptions& options,
                            const Progress& progress) {
  std::vector<int64_t> truth, predicted;
  double loss = 0;
  int64_t tokens = 0;
  for_each_batch(model, dataset, tokenizer, options, progress,
                 [&](const data::Batch& batch, const at::Tensor& logits) {
                   loss += summed_loss(logits, batch.labels);
                   tokens += batch.total();
                   const at::Tensor best = logits.argmax(1);
                   for (int64_t i = 0; i < batch.size(); ++i) {
                     truth.push_back(batch.labels[i].item<int64_t>());
                     predicted.push_back(best[i].item<int64_t>());
                   }
                 });
  Evaluation evaluation = score(truth, predicted, dataset.classes);
  evaluation.loss = loss / static_cast<double>(evaluation.count);
  evaluation.tokens = tokens;
  return evaluation;
}

Evaluation evaluate_masked(models::Model& model, const data::Dataset& dataset,
                           const text::Tokenizer& tokenizer, const data::BatchOptions& options,
                           const Progress& progress) {
  Evaluation evaluation;
  int64_t correct = 0;
  for_each_batch(model, dataset, tokenizer, options, progress,
                 [&](const data::Batch& batch, const at::Tensor& logits) {
                   const at::Tensor masked = (batch.labels >= 0).nonzero().squeeze(1);
                   const at::Tensor labels = batch.labels.index_select(0, masked);
                   const at::Tensor rows = logits.index_select(0, masked);
                   evaluation.tokens += batch.total();
                   evaluation.count += labels.numel();
                   evaluation.loss += summed_loss(rows, labels);
                   correct += rows.argmax(1).eq(labels).sum().item<int64_t>();
                 });
  const auto count = static_cast<double>(std::max<int64_t>(evaluation.count, 1));
  evaluation.loss /= count;
  evaluation.perplexity = std::exp(evaluation.loss);
  evaluation.accuracy = static_cast<double>(correct) / count;
  return evaluation;
}

double ratio(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

}  // namespace

Evaluation evaluate(models::Model& model, const data::Dataset& dataset,
                    const text::Tokenizer& tokenizer, const data::BatchOptions& options,
                    const Progress& progress) {
  check_examples(model.config(), dataset);
  const EvaluationMode mode(model);
  const auto start = std::chrono::steady_clock::now();
  const bool classes = models::is_about_classes(model.config().task);
  Evaluation evaluation = classes ? evaluate_classes(model, dataset, tokenizer, options, progress)
                                  : evaluate_masked(model, dataset, tokenizer, options, progress);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  evaluation.seconds = seconds.count();
  return evaluation;
}

Evaluation score(const std::vector<int64_t>& truth, const std::vector<int64_t>& predicted,
                 const std::vector<std::string>& classes) {
  const size_t c = classes.size();
  const auto valid = [&](int64_t label) { return label >= 0 && label < static_cast<int64_t>(c); };
  if (truth.size() != predicted.size() || !std::all_of(truth.begin(), truth.end(), valid) ||
      !std::all_of(predicted.begin(), predicted.end(), valid)) {
    throw Error(
        fmt::format("score: {} true and {} predicted classes; there must be one of each an "
                    "example, from 0 to {}.",
                    truth.size(), predicted.size(), static_cast<int64_t>(c) - 1));
  }
  Evaluation evaluation;
  evaluation.count = static_cast<int64_t>(truth.size());
  evaluation.classes = classes;
  evaluation.confusion.assign(c, std::vector<int64_t>(c, 0));
  std::vector<int64_t> predictions(c, 0);
  evaluation.support.assign(c, 0);
  for (size_t i = 0; i < truth.size(); ++i) {
    const auto t = static_cast<size_t>(truth[i]), p = static_cast<size_t>(predicted[i]);
    ++evaluation.confusion[t][p];
    ++evaluation.support[t];
    ++predictions[p];
  }
  int64_t correct = 0, occurring = 0;
  for (size_t i = 0; i < c; ++i) {
    const int64_t hits = evaluation.confusion[i][i];
    const int64_t either = evaluation.support[i] + predictions[i];
    evaluation.precision.push_back(ratio(hits, predictions[i]));
    evaluation.recall.push_back(ratio(hits, evaluation.support[i]));
    evaluation.f1.push_back(ratio(2 * hits, either));
    evaluation.macro_f1 += evaluation.f1.back();
    correct += hits;
    occurring += either > 0 ? 1 : 0;
  }
  evaluation.accuracy = ratio(correct, evaluation.count);
  evaluation.macro_f1 /= static_cast<double>(std::max<int64_t>(occurring, 1));
  return evaluation;
}

std::vector<std::vector<double>> predict(models::Model& model, const data::Dataset& dataset,
                                         const text::Tokenizer& tokenizer,
                                         const data::BatchOptions& options) {
  if (!models::is_about_classes(model.config().task)) {
    throw Error(
        "predict: the model is a masked language model, which has no classes. Train with "
        "model.task = \"classification\".");
  }
  const EvaluationMode mode(model);
  std::vector<std::vector<double>> probabilities(dataset.examples.size());
  for_each_batch(model, dataset, tokenizer, options, {},
                 [&](const data::Batch& batch, const at::Tensor& logits) {
                   const at::Tensor rows = logits.to(at::kDouble).softmax(1);
                   for (int64_t i = 0; i < batch.size(); ++i) {
                     const double* row = rows.const_data_ptr<double>() + i * rows.size(1);
                     const auto example =
                         static_cast<size_t>(batch.indices[static_cast<size_t>(i)]);
                     probabilities[example].assign(row, row + rows.size(1));
                   }
                 });
  return probabilities;
}

Json to_json(const Evaluation& evaluation) {
  Json json;
  json["count"] = evaluation.count;
  json["loss"] = evaluation.loss;
  json["accuracy"] = evaluation.accuracy;
  if (evaluation.classes.empty()) {
    json["perplexity"] = evaluation.perplexity;
  } else {
    json["macro_f1"] = evaluation.macro_f1;
    json["classes"] = Json::array();
    for (size_t i = 0; i < evaluation.classes.size(); ++i) {
      json["classes"].push_back({{"name", evaluation.classes[i]},
                                 {"precision", evaluation.precision[i]},
                                 {"recall", evaluation.recall[i]},
                                 {"f1", evaluation.f1[i]},
                                 {"support", evaluation.support[i]}});
    }
    json["confusion"] = evaluation.confusion;
  }
  json["tokens"] = evaluation.tokens;
  json["seconds"] = evaluation.seconds;
  return json;
}

}  // namespace lowrank::train
