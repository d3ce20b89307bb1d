// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lowrank/data/batch.h"
#include "lowrank/models/model.h"
#include "lowrank/train/metrics.h"

namespace lowrank::train {

// What is measured depends on what a label is.
//
//   kClasses   an example's class: accuracy, the kinds of F1, Matthews' correlation, a table by class
//   kTags      a word's class: the same of all words, and F1 of the spans where all are span tags
//   kNumber    an example's number: correlations and mean squared error
//   kMasked    a masked token: perplexity and accuracy
enum class Measured { kClasses, kTags, kNumber, kMasked };

// Quality on a dataset; what is not measured is 0. Definitions in metrics.h.
struct Evaluation {
  Measured measured = Measured::kClasses;
  int64_t count = 0;      // of examples; kTags: of words that were read, kMasked: of masked tokens
  double loss = 0;        // mean cross-entropy; kNumber: mean squared error
  double perplexity = 0;  // exp(loss); kMasked
  double accuracy = 0;
  double macro_f1 = 0, micro_f1 = 0, weighted_f1 = 0, matthews = 0;
  std::vector<std::string> classes;           // kNumber: the name of the number
  Confusion confusion;                        // [true class][predicted class]
  std::vector<double> precision, recall, f1;  // a class
  std::vector<int64_t> support;               // examples of a class
  double pearson = 0, spearman = 0;           // NaN for numbers that are all the same
  std::optional<SpanScore> spans;             // kTags
  std::optional<double> order_accuracy;       // kMasked, of a model with sentence_order
  double seconds = 0;
  int64_t tokens = 0;
};

// The evaluation by that metric; the larger, the better: a loss counts negatively, and a correlation that
// there is none of as -1. Throws Error where the evaluation has no such metric.
double quality(const Evaluation& evaluation, Metric metric);

// The name of the metric that quality() takes: of kDefault the one that the evaluation's kind has.
std::string metric_name(const Evaluation& evaluation, Metric metric);

// Runs the model in evaluation mode, without gradients, and leaves it in the mode it was in. Masked
// language model: the masks that options.seed draws. `progress` may throw to give up. Throws Error
// for an empty dataset, an example without a label, and classes other than the model's.
Evaluation evaluate(models::Model& model, const data::Dataset& dataset,
                    const text::Tokenizer& tokenizer, const data::BatchOptions& options,
                    const std::function<void(int64_t done, int64_t total)>& progress = {});

// From true and predicted classes: everything but loss, seconds and tokens.
Evaluation score(const std::vector<int64_t>& truth, const std::vector<int64_t>& predicted,
                 const std::vector<std::string>& classes);

// The same from true and predicted numbers, which `name` calls.
Evaluation score_numbers(const std::vector<double>& truth, const std::vector<double>& predicted,
                         const std::string& name);

// Class probabilities, [examples][classes], in the dataset's order; of a model of numbers the number alone.
// Labels are not looked at. Throws Error for a model of another task.
std::vector<std::vector<double>> predict(models::Model& model, const data::Dataset& dataset,
                                         const text::Tokenizer& tokenizer,
                                         const data::BatchOptions& options);

Json to_json(const Evaluation& evaluation);

}  // namespace lowrank::train
