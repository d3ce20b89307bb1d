// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <optional>
#include <string>

#include "lowrank/io/event_file.h"
#include "lowrank/io/plot.h"
#include "lowrank/train/evaluate.h"

namespace lowrank::train {

// The record of a run in its folder: metrics.jsonl, TensorBoard events and loss.png. Lines are
// described in docs/formats.md. Throws Error when a line cannot be written.
class MetricsLog {
 public:
  // What the steps since the last line came to.
  struct Training {
    int64_t step = 0;
    double epoch = 0;
    double loss = 0;                              // mean over those steps
    double learning_rate = 0, gradient_norm = 0;  // of the last of them
    int64_t tokens = 0;                           // since the run's start
    double seconds = 0;                           // since the run's start
  };

  // Goes on with the lines of steps 0 to `resumed_step` and drops the later ones, which were written
  // after the checkpoint; without it the record starts afresh.
  MetricsLog(const std::filesystem::path& folder, std::optional<int64_t> resumed_step);

  void add(const Training& training);
  // `metric` is what the run goes by.
  void add(int64_t step, double seconds, const Evaluation& evaluation, Metric metric, bool best);

  // Draws loss.png. False, with `reason` set, where that fails.
  bool draw(std::string* reason);

 private:
  void append(const Json& line);
  void add_point(const Json& line);

  std::filesystem::path folder_;
  std::ofstream lines_;
  io::EventFile events_;
  io::Curve training_loss_{"training", {}, {}};
  io::Curve validation_loss_{"validation", {}, {}};
};

}  // namespace lowrank::train
