// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lowrank/cli/progress_bar.h"
#include "lowrank/train/trainer.h"

namespace lowrank::cli {

// Tells of a run on console.err: a bar on a terminal, a line every log_every steps otherwise.
class ConsoleWatcher final : public train::Watcher {
 public:
  ConsoleWatcher(const Console& console, int64_t log_every);

  void on_start(const models::Model& model, const train::Recipe& recipe) override;
  void on_step(const Step& step) override;
  void on_evaluation(int64_t step, const train::Evaluation& evaluation, bool best) override;
  void on_note(const std::string& note) override;

  void finish();  // wipes the bar

  // Quality of the best evaluation of this sitting; empty when there was none.
  const std::string& best() const { return best_; }

 private:
  ProgressBar bar_;
  const bool plain_;
  const int64_t log_every_;
  double loss_ = 0;  // smoothed
  bool seen_ = false;
  std::string best_;
};

}  // namespace lowrank::cli
