// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lowrank/data/batch.h"
#include "lowrank/models/model.h"

namespace lowrank::train {

// Quality on a dataset. Classification fills all; a masked language model loss, perplexity,
// accuracy and count (of the masked tokens).
struct Evaluation {
  int64_t count = 0;
  double loss = 0;        // mean cross-entropy
  double perplexity = 0;  // exp(loss); masked language model
  double accuracy = 0;
  double macro_f1 = 0;
  std::vector<std::string> classes;
  std::vector<std::vector<int64_t>> confusion;  // [true class][predicted class]
  std::vector<double> precision, recall, f1;    // a class
  std::vector<int64_t> support;                 // examples of a class
  double seconds = 0;
  int64_t tokens = 0;
};

// Runs the model in evaluation mode, without gradients, and leaves it in the mode it was in. Masked
// language model: the masks that options.seed draws. `progress` may throw to give up. Throws Error
// for an empty dataset, an example without a label, and classes other than the model's.
Evaluation evaluate(models::Model& model, const data::Dataset& dataset,
                    const text::Tokenizer& tokenizer, const data::BatchOptions& options,
                    const std::function<void(int64_t done, int64_t total)>& progress = {});

// From true and predicted classes: everything but loss, seconds and tokens. Definitions as
// scikit-learn's with zero_division = 0; macro_f1 is the mean over the classes that occur in truth
// or predicted.
Evaluation score(const std::vector<int64_t>& truth, const std::vector<int64_t>& predicted,
                 const std::vector<std::string>& classes);

// Class probabilities, [examples][classes], in the dataset's order. Labels are not looked at. Throws
// Error for a masked language model.
std::vector<std::vector<double>> predict(models::Model& model, const data::Dataset& dataset,
                                         const text::Tokenizer& tokenizer,
                                         const data::BatchOptions& options);

Json to_json(const Evaluation& evaluation);

}  // namespace lowrank::train
