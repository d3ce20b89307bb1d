// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lowrank/cli/console.h"
#include "lowrank/cli/text_flags.h"

namespace CLI {
class App;
}

namespace lowrank::cli {

// lowrank predict MODEL [FILE|FOLDER...]: labels, labelled spans, answers or choices, with
// probabilities, as the model's task is. A module of another package reads arrays: array_inputs.h.
struct PredictFlags {
  std::string model;
  TextFlags texts;
  int64_t top = 3;       // classes, answers or choices printed of an input
  std::string question;  // of a question answering model; the inputs are contexts
  int64_t longest = 30;  // tokens of an answer
  std::optional<double> no_answer_threshold;    // of a model that knows questions without answers
  std::string aggregate = "first";              // of a token classifier
  InferenceFlags inference{.on_overflow = ""};  // empty: what the model's recipe says, else error
  bool json = false;                            // a JSON object a line
  std::string submission;  // folder of a submission to GLUE; empty: none, cli/submission.h
};

void add(CLI::App& app, PredictFlags& flags);
int run(const PredictFlags& flags, const Console& console);

}  // namespace lowrank::cli
