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

bool has_numbers(const models::ModelConfig& config, const data::Dataset& dataset) {
  return config.task == models::Task::kClassification &&
         dataset.label_kind == data::LabelKind::kNumber;
}

Measured measured_of(const models::ModelConfig& config, const data::Dataset& dataset) {
  switch (config.task) {
    case models::Task::kMaskedLanguageModel:
      return Measured::kMasked;
    case models::Task::kTokenClassification:
      return Measured::kTags;
    case models::Task::kClassification:
    case models::Task::kRetrieval:
      return has_numbers(config, dataset) ? Measured::kNumber : Measured::kClasses;
    default:
      break;
  }
  throw Error(
      fmt::format("evaluate: the model is a {}; what is measured are classifiers, of tokens too, "
                  "and masked language "
                  "models. Give one of them.",
                  models::in_words(config.task)));
}

std::string in_words(data::LabelKind kind) {
  return kind == data::LabelKind::kClass    ? "a class for each example"
         : kind == data::LabelKind::kNumber ? "a number for each example"
                                            : "a class for each word";
}

// The kind of label that the model learns from.
data::LabelKind label_kind_of(const models::ModelConfig& config) {
  if (config.task == models::Task::kTokenClassification) return data::LabelKind::kTag;
  return config.classes.size() == 1 ? data::LabelKind::kNumber : data::LabelKind::kClass;
}

void check_examples(const models::ModelConfig& config, const data::Dataset& dataset) {
  if (dataset.examples.empty()) {
    throw Error("evaluate: the dataset has no examples. Give one that has, or a larger share.");
  }
  if (config.task == models::Task::kMaskedLanguageModel) return;
  if (dataset.label_kind != label_kind_of(config)) {
    throw Error(fmt::format(
        "evaluate: the data has {}, the model gives {}. Evaluate on data of the model's kind.",
        in_words(dataset.label_kind), in_words(label_kind_of(config))));
  }
  if (dataset.classes != config.classes) {
    throw Error(
        fmt::format("evaluate: the data's classes are {}, the model's are {}; they must be "
                    "the same in the same order. Evaluate on data with the model's classes.",
                    fmt::join(dataset.classes, ", "), fmt::join(config.classes, ", ")));
  }
  for (const data::Example& example : dataset.examples) {
    if (data::is_labelled(dataset, example)) continue;
    throw Error(
        fmt::format("evaluate: {} has no label; every example needs one. Use predict for "
                    "data without labels.",
                    example.source));
  }
}

// Calls visit(batch, rows) for every batch, `rows` being what the encoder makes of it.
template <class Visit>
void for_each_encoded(models::Model& model, const data::Dataset& dataset,
                      const text::Tokenizer& tokenizer, const data::BatchOptions& options,
                      const Progress& progress, const Visit& visit) {
  // The batches end with this call, so they need not share the tokenizer's ownership.
  const std::shared_ptr<const text::Tokenizer> borrowed(std::shared_ptr<void>(), &tokenizer);
  data::EvaluationBatches batches(dataset, borrowed, options);
  const auto total = static_cast<int64_t>(dataset.examples.size());
  int64_t done = 0;
  for (data::Batch batch; batches.next(batch);) {
    visit(batch, model.encode(inputs_for(model, batch)));
    done += batch.size();
    if (progress) progress(done, total);
  }
}

// Calls visit(batch, logits) for every batch.
template <class Visit>
void for_each_batch(models::Model& model, const data::Dataset& dataset,
                    const text::Tokenizer& tokenizer, const data::BatchOptions& options,
                    const Progress& progress, const Visit& visit) {
  for_each_encoded(model, dataset, tokenizer, options, progress,
                   [&](const data::Batch& batch, const nn::Embedded& rows) {
                     visit(batch, model.head(rows).to(at::kCPU));
                   });
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

Evaluation evaluate_numbers(models::Model& model, const data::Dataset& dataset,
                            const text::Tokenizer& tokenizer, const data::BatchOptions& options,
                            const Progress& progress) {
  std::vector<double> truth, predicted;
  int64_t tokens = 0;
  for_each_batch(model, dataset, tokenizer, options, progress,
                 [&](const data::Batch& batch, const at::Tensor& logits) {
                   tokens += batch.total();
                   for (int64_t i = 0; i < batch.size(); ++i) {
                     truth.push_back(batch.labels[i].item<double>());
                     predicted.push_back(logits[i][0].item<double>());
                   }
                 });
  Evaluation evaluation = score_numbers(truth, predicted, dataset.classes[0]);
  evaluation.tokens = tokens;
  return evaluation;
}

Evaluation evaluate_tags(models::Model& model, const data::Dataset& dataset,
                         const text::Tokenizer& tokenizer, const data::BatchOptions& options,
                         const Progress& progress) {
  std::vector<int64_t> truth, predicted;
  SpanScore spans;
  double loss = 0;
  int64_t tokens = 0;
  // Adds the words of one sentence.
  const auto add = [&](const at::Tensor& labels, const at::Tensor& logits) {
    const at::Tensor words = labels.ge(0).nonzero().squeeze(1);
    const at::Tensor right = labels.index_select(0, words), rows = logits.index_select(0, words);
    const at::Tensor best = rows.argmax(1);
    if (words.numel() > 0) loss += summed_loss(rows, right);
    std::vector<std::string> right_tags, predicted_tags;
    for (int64_t i = 0; i < words.numel(); ++i) {
      truth.push_back(right[i].item<int64_t>());
      predicted.push_back(best[i].item<int64_t>());
      right_tags.push_back(dataset.classes[static_cast<size_t>(truth.back())]);
      predicted_tags.push_back(dataset.classes[static_cast<size_t>(predicted.back())]);
    }
    spans.add(right_tags, predicted_tags);
  };
  for_each_batch(model, dataset, tokenizer, options, progress,
                 [&](const data::Batch& batch, const at::Tensor& logits) {
                   tokens += batch.total();
                   for (int64_t i = 0; i < batch.size(); ++i) {
                     const auto begin = batch.offsets[i].item<int64_t>();
                     const auto end = batch.offsets[i + 1].item<int64_t>();
                     add(batch.labels.slice(0, begin, end), logits.slice(0, begin, end));
                   }
                 });
  Evaluation evaluation = score(truth, predicted, dataset.classes);
  evaluation.measured = Measured::kTags;
  evaluation.loss = loss / static_cast<double>(std::max<int64_t>(evaluation.count, 1));
  if (are_span_tags(dataset.classes)) evaluation.spans = spans;
  evaluation.tokens = tokens;
  return evaluation;
}

Evaluation evaluate_masked(models::Model& model, const data::Dataset& dataset,
                           const text::Tokenizer& tokenizer, const data::BatchOptions& options,
                           const Progress& progress) {
  Evaluation evaluation;
  evaluation.measured = Measured::kMasked;
  const auto hits = [](const at::Tensor& logits, const at::Tensor& labels) {
    return logits.argmax(1).eq(labels).sum().item<int64_t>();
  };
  int64_t correct = 0, in_order = 0;
  for_each_encoded(model, dataset, tokenizer, options, progress,
                   [&](const data::Batch& batch, const nn::Embedded& rows) {
                     // The output layer is the largest by far: logits of the masked rows alone.
                     const at::Tensor masked = (batch.labels >= 0).nonzero().squeeze(1);
                     const at::Tensor labels = batch.labels.index_select(0, masked);
                     const at::Tensor x = rows.x.index_select(0, masked.to(rows.x.device()));
                     const at::Tensor logits = model.head({x, rows.offsets}).to(at::kCPU);
                     evaluation.tokens += batch.total();
                     evaluation.count += labels.numel();
                     evaluation.loss += summed_loss(logits, labels);
                     correct += hits(logits, labels);
                     if (batch.order.defined()) {
                       in_order += hits(model.order_logits(rows).to(at::kCPU), batch.order);
                     }
                   });
  const auto count = static_cast<double>(std::max<int64_t>(evaluation.count, 1));
  evaluation.loss /= count;
  evaluation.perplexity = std::exp(evaluation.loss);
  evaluation.accuracy = static_cast<double>(correct) / count;
  if (options.sentence_order) {
    evaluation.order_accuracy =
        static_cast<double>(in_order) / static_cast<double>(dataset.examples.size());
  }
  return evaluation;
}

Evaluation evaluate_measured(Measured measured, models::Model& model, const data::Dataset& dataset,
                             const text::Tokenizer& tokenizer, const data::BatchOptions& options,
                             const Progress& progress) {
  switch (measured) {
    case Measured::kTags:
      return evaluate_tags(model, dataset, tokenizer, options, progress);
    case Measured::kNumber:
      return evaluate_numbers(model, dataset, tokenizer, options, progress);
    case Measured::kMasked:
      return evaluate_masked(model, dataset, tokenizer, options, progress);
    case Measured::kClasses:
      break;
  }
  return evaluate_classes(model, dataset, tokenizer, options, progress);
}

bool has(const Evaluation& evaluation, Metric metric) {
  const bool classes =
      evaluation.measured == Measured::kClasses || evaluation.measured == Measured::kTags;
  switch (metric) {
    case Metric::kAccuracy:
      return evaluation.measured != Measured::kNumber;
    case Metric::kF1:
      return evaluation.measured == Measured::kClasses && evaluation.classes.size() == 2;
    case Metric::kMacroF1:
    case Metric::kMatthews:
      return classes;
    case Metric::kPearson:
    case Metric::kSpearman:
      return evaluation.measured == Measured::kNumber;
    case Metric::kSpanF1:
      return evaluation.spans.has_value();
    case Metric::kDefault:
    case Metric::kLoss:
      break;
  }
  return true;
}

Metric default_metric(const Evaluation& evaluation) {
  switch (evaluation.measured) {
    case Measured::kMasked:
      return Metric::kLoss;
    case Measured::kNumber:
      return Metric::kPearson;
    case Measured::kTags:
      return evaluation.spans ? Metric::kSpanF1 : Metric::kAccuracy;
    case Measured::kClasses:
      break;
  }
  return Metric::kAccuracy;
}

std::string name_of(Metric metric) {
  const auto is = [&](const auto& entry) { return entry.second == metric; };
  return std::find_if(metric_names().begin(), metric_names().end(), is)->first;
}

double correlation(double value) { return std::isnan(value) ? -1 : value; }

Json classes_to_json(const Evaluation& evaluation) {
  Json classes = Json::array();
  for (size_t i = 0; i < evaluation.classes.size(); ++i) {
    classes.push_back({{"name", evaluation.classes[i]},
                       {"precision", evaluation.precision[i]},
                       {"recall", evaluation.recall[i]},
                       {"f1", evaluation.f1[i]},
                       {"support", evaluation.support[i]}});
  }
  return classes;
}

}  // namespace

Evaluation evaluate(models::Model& model, const data::Dataset& dataset,
                    const text::Tokenizer& tokenizer, const data::BatchOptions& options,
                    const Progress& progress) {
  const Measured measured = measured_of(model.config(), dataset);
  check_examples(model.config(), dataset);
  const EvaluationMode mode(model);
  const auto start = std::chrono::steady_clock::now();
  Evaluation evaluation = evaluate_measured(measured, model, dataset, tokenizer, options, progress);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  evaluation.seconds = seconds.count();
  return evaluation;
}

std::string metric_name(const Evaluation& evaluation, Metric metric) {
  return name_of(metric == Metric::kDefault ? default_metric(evaluation) : metric);
}

double quality(const Evaluation& evaluation, Metric metric) {
  if (!has(evaluation, metric)) {
    throw Error(fmt::format(
        "train.metric = \"{}\", which data of this kind has not: f1 is of two classes, pearson and "
        "spearman are of numbers, span_f1 is of tags such as B-PER. Leave it out.",
        name_of(metric)));
  }
  switch (metric) {
    case Metric::kDefault:
      return quality(evaluation, default_metric(evaluation));
    case Metric::kF1:
      return evaluation.f1[1];
    case Metric::kMacroF1:
      return evaluation.macro_f1;
    case Metric::kMatthews:
      return evaluation.matthews;
    case Metric::kPearson:
      return correlation(evaluation.pearson);
    case Metric::kSpearman:
      return correlation(evaluation.spearman);
    case Metric::kSpanF1:
      return evaluation.spans->f1();
    case Metric::kLoss:
      return -evaluation.loss;
    case Metric::kAccuracy:
      break;
  }
  return evaluation.accuracy;
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
  evaluation.support.assign(c, 0);
  for (size_t i = 0; i < truth.size(); ++i) {
    const auto t = static_cast<size_t>(truth[i]), p = static_cast<size_t>(predicted[i]);
    ++evaluation.confusion[t][p];
    ++evaluation.support[t];
  }
  for (size_t i = 0; i < c; ++i) {
    evaluation.precision.push_back(precision(evaluation.confusion, i));
    evaluation.recall.push_back(recall(evaluation.confusion, i));
    evaluation.f1.push_back(f1(evaluation.confusion, i));
  }
  evaluation.accuracy = accuracy(evaluation.confusion);
  evaluation.macro_f1 = macro_f1(evaluation.confusion);
  evaluation.micro_f1 = micro_f1(evaluation.confusion);
  evaluation.weighted_f1 = weighted_f1(evaluation.confusion);
  evaluation.matthews = matthews(evaluation.confusion);
  return evaluation;
}

Evaluation score_numbers(const std::vector<double>& truth, const std::vector<double>& predicted,
                         const std::string& name) {
  if (truth.size() != predicted.size()) {
    throw Error(fmt::format(
        "score: {} true and {} predicted numbers; there must be one of each an example.",
        truth.size(), predicted.size()));
  }
  Evaluation evaluation;
  evaluation.measured = Measured::kNumber;
  evaluation.count = static_cast<int64_t>(truth.size());
  evaluation.classes = {name};
  evaluation.loss = mean_squared_error(truth, predicted);
  evaluation.pearson = pearson(truth, predicted);
  evaluation.spearman = spearman(truth, predicted);
  return evaluation;
}

std::vector<std::vector<double>> predict(models::Model& model, const data::Dataset& dataset,
                                         const text::Tokenizer& tokenizer,
                                         const data::BatchOptions& options) {
  if (!models::is_about_classes(model.config().task)) {
    throw Error(
        fmt::format("predict: the model is a {}, which has no classes of texts. Train with "
                    "model.task = \"classification\".",
                    models::in_words(model.config().task)));
  }
  const EvaluationMode mode(model);
  std::vector<std::vector<double>> probabilities(dataset.examples.size());
  for_each_batch(model, dataset, tokenizer, options, {},
                 [&](const data::Batch& batch, const at::Tensor& logits) {
                   const at::Tensor wide = logits.to(at::kDouble).contiguous();
                   const at::Tensor rows = wide.size(1) == 1 ? wide : wide.softmax(1);
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
  Json json = {{"count", evaluation.count}, {"loss", evaluation.loss}};
  switch (evaluation.measured) {
    case Measured::kMasked:
      json["accuracy"] = evaluation.accuracy;
      json["perplexity"] = evaluation.perplexity;
      if (evaluation.order_accuracy) json["order_accuracy"] = *evaluation.order_accuracy;
      break;
    case Measured::kNumber:
      json["pearson"] = evaluation.pearson;
      json["spearman"] = evaluation.spearman;
      break;
    case Measured::kTags:
      if (evaluation.spans) {
        json["span_precision"] = evaluation.spans->precision();
        json["span_recall"] = evaluation.spans->recall();
        json["span_f1"] = evaluation.spans->f1();
      }
      [[fallthrough]];
    case Measured::kClasses:
      json["accuracy"] = evaluation.accuracy;
      json["macro_f1"] = evaluation.macro_f1;
      json["micro_f1"] = evaluation.micro_f1;
      json["weighted_f1"] = evaluation.weighted_f1;
      json["matthews"] = evaluation.matthews;
      json["classes"] = classes_to_json(evaluation);
      json["confusion"] = evaluation.confusion;
      break;
  }
  json["tokens"] = evaluation.tokens;
  json["seconds"] = evaluation.seconds;
  return json;
}

}  // namespace lowrank::train
