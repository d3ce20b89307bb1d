// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lowrank/cli/prediction.h"
#include "lowrank/serve/reading.h"

namespace lowrank::cli {

// What `lowrank predict` is asked for, whatever the model's task.
struct PredictOptions {
  serve::PieceOptions pieces;
  serve::RunOptions run;
  int64_t top = 3;       // classes, answers or choices
  std::string question;  // question answering: of every input; empty: each has its own
  int64_t longest = 30;  // question answering: tokens of an answer
  std::optional<double> no_answer_threshold = std::nullopt;  // question answering: serve/answer.h
  std::string aggregate = "first";  // token classification: serve/token_labels.h
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
