// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/console_watcher.h"

#include <fmt/format.h>

#include "lowrank/cli/evaluation_report.h"
#include "lowrank/cli/model_summary.h"
#include "lowrank/cli/quantity.h"

namespace lowrank::cli {

ConsoleWatcher::ConsoleWatcher(const Console& console, int64_t log_every)
    : bar_(console), plain_(!console.err_is_terminal), log_every_(log_every) {}

void ConsoleWatcher::on_start(const models::Model& model, const train::Recipe&) {
  bar_.print(fmt::format("model: {}; {} parameters", in_words(model.config()),
                         grouped(models::parameter_count(model))));
}

void ConsoleWatcher::on_step(const Step& step) {
  loss_ = seen_ ? 0.95 * loss_ + 0.05 * step.loss : step.loss;
  seen_ = true;
  const std::string text = fmt::format(
      "step {}  loss {:.4f}  {} tokens/s  {} left", grouped(step.step), loss_,
      grouped(static_cast<int64_t>(step.tokens_per_second)), duration(step.seconds_left));
  bar_.update(step.done, text);
  if (!plain_ || step.step % log_every_ != 0) return;
  bar_.print(fmt::format("{}  rate {:.1e}  {}", text, step.learning_rate, percent(step.done, 0)));
}

void ConsoleWatcher::on_evaluation(int64_t step, const train::Evaluation& evaluation, bool best) {
  const std::string quality = quality_in_words(evaluation);
  bar_.print(fmt::format("step {}  validation: {}{}", grouped(step), quality,
                         best ? "  (best so far)" : ""));
  if (best) best_ = quality;
}

void ConsoleWatcher::on_note(const std::string& note) { bar_.print("note: " + note); }

void ConsoleWatcher::finish() { bar_.wipe(); }

}  // namespace lowrank::cli
