// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lowrank/base/config.h"
#include "lowrank/serve/reading.h"

namespace lowrank::cli {

// What `lowrank predict` is asked for, whatever the model's task.
struct PredictOptions {
  serve::PieceOptions pieces;
  int64_t token_budget = serve::kTokenBudget;
  int64_t top = 3;                  // classes, answers or choices
  std::string question;             // question answering: of every input; empty: each has its own
  int64_t longest = 30;             // question answering: tokens of an answer
  std::string aggregate = "first";  // token classification: serve/token_labels.h
};

// What is printed of an input.
struct Prediction {
  Json json;                                   // an object
  std::vector<std::vector<std::string>> rows;  // for people, without the source
};

// What `lowrank predict` does with the inputs of a model's task.
class PredictTask {
 public:
  virtual ~PredictTask() = default;
  virtual serve::Reading read(const serve::TextInput& input) const = 0;  // throws Error
  virtual std::vector<Prediction> predict(const std::vector<serve::Reading>& readings) const = 0;
  // Keys of an input that is a JSON object, and whether `choices` beside the text are read too.
  virtual std::string text_key() const { return "text"; }
  virtual std::string pair_key() const { return "pair"; }
};

// Throws Error for a model whose task has nothing to predict, naming the command that serves it.
std::unique_ptr<PredictTask> make_predict_task(const serve::TextModel& model,
                                               const PredictOptions& options);

}  // namespace lowrank::cli
