// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/sweep_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>

#include "lowrank/base/file.h"
#include "lowrank/cli/console_watcher.h"
#include "lowrank/cli/learning_plot.h"
#include "lowrank/cli/misuse.h"
#include "lowrank/cli/picture.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/stop_signal.h"
#include "lowrank/cli/table.h"
#include "lowrank/train/sweep.h"

namespace lowrank::cli {
namespace {

namespace fs = std::filesystem;

// A run and what became of it.
struct Outcome {
  const train::SweepRun* run = nullptr;
  std::vector<train::CurvePoint> curve = {};
  std::optional<train::CurvePoint> best = {};
  int64_t steps = 0;
  double seconds = 0;
  std::string failure = {};  // why it failed
};

std::string in_words(const train::SweepRun& run) {
  return fmt::format("{}", fmt::join(run.labels, ", "));
}

std::vector<train::SweepAxis> axes_of(const SweepFlags& flags) {
  std::vector<train::SweepAxis> axes;
  for (const std::string& over : flags.over) axes.push_back(train::parse_axis(over));
  return axes;
}

// A sweep's data is the same for most of its runs, and is read once for those.
class SharedData {
 public:
  explicit SharedData(const Console& console) : console_(console) {}

  const data::Splits& of(const train::Recipe& recipe) {
    const Json key = {to_json(recipe)["data"], recipe.model.tokenizer, recipe.train.special_tokens};
    if (!splits_ || key != key_) {
      splits_.reset();  // before the next is read: both may not fit
      splits_ = read_data(recipe, console_);
      key_ = key;
    }
    return *splits_;
  }

 private:
  const Console& console_;
  Json key_;
  std::optional<data::Splits> splits_;
};

Outcome outcome_of(const train::SweepRun& run, const train::TrainResult& result) {
  Outcome outcome{.run = &run,
                  .curve = train::learning_curve(run.recipe.train.output),
                  .best = {},
                  .steps = result.steps,
                  .seconds = result.seconds,
                  .failure = {}};
  for (const train::CurvePoint& point : outcome.curve) {
    if (point.best) outcome.best = point;
  }
  if (result.ended == train::Ended::kDiskFull) outcome.failure = "the disk is full";
  return outcome;
}

bool is_language_model(const train::SweepRun& run) {
  return run.recipe.model.task == models::Task::kMaskedLanguageModel;
}

// What a run is judged by: a language model's perplexity, else the metric of its recipe.
double quality(const Outcome& outcome, const train::CurvePoint& point) {
  return is_language_model(*outcome.run) ? std::exp(point.loss) : point.quality;
}

std::string quality_name(const std::vector<Outcome>& outcomes) {
  if (is_language_model(*outcomes.front().run)) return "perplexity";
  for (const Outcome& outcome : outcomes) {
    if (outcome.best) return outcome.best->metric;
  }
  return "quality";
}

std::vector<std::string> row_of(const Outcome& outcome) {
  std::vector<std::string> row = outcome.run->labels;
  const std::string none = outcome.failure.empty() ? "-" : "failed";
  row.push_back(outcome.best ? fmt::format("{:.4g}", quality(outcome, *outcome.best)) : none);
  row.push_back(outcome.best ? fmt::format("{:.4f}", outcome.best->loss) : "-");
  row.push_back(outcome.best ? grouped(outcome.best->step) : "-");
  row.push_back(grouped(outcome.steps));
  row.push_back(fmt::format("{:.1f}", outcome.seconds));
  return row;
}

void print_table(const std::vector<Outcome>& outcomes, const std::vector<train::SweepAxis>& axes,
                 std::ostream& out) {
  std::vector<std::string> heading;
  for (const train::SweepAxis& axis : axes) heading.push_back(axis.key);
  for (const char* name : {"loss", "at step", "steps", "seconds"}) heading.emplace_back(name);
  heading.insert(heading.begin() + static_cast<int64_t>(axes.size()), quality_name(outcomes));
  Table table(heading, axes.size());
  for (const Outcome& outcome : outcomes) table.add_row(row_of(outcome));
  table.print(out);
  for (const Outcome& outcome : outcomes) {
    if (outcome.failure.empty()) continue;
    out << fmt::format("failed: {}: {}\n", in_words(*outcome.run), outcome.failure);
  }
}

std::optional<double> as_number(const std::string& text) {
  char* end = nullptr;
  const double value = std::strtod(text.c_str(), &end);
  if (text.empty() || *end != 0) return std::nullopt;
  return value;
}

// Quality over the last axis, where its values are numbers; a curve for each value of the others.
io::LinePlot quality_plot(const std::vector<Outcome>& outcomes,
                          const std::vector<train::SweepAxis>& axes) {
  io::LinePlot plot{.title = "Sweep",
                    .x_label = axes.back().key,
                    .y_label = quality_name(outcomes),
                    .curves = {},
                    .log_x = true,
                    .log_y = false};
  std::map<std::string, io::Curve> curves;
  for (const Outcome& outcome : outcomes) {
    const std::optional<double> x = as_number(outcome.run->labels.back());
    if (!x || !outcome.best) continue;
    plot.log_x &= *x > 0;
    const std::vector<std::string>& labels = outcome.run->labels;
    const std::string name = fmt::format("{}", fmt::join(labels.begin(), labels.end() - 1, ", "));
    io::Curve& curve = curves.try_emplace(name, io::Curve{name, {}, {}}).first->second;
    curve.x.push_back(*x);
    curve.y.push_back(quality(outcome, *outcome.best));
  }
  for (auto& [name, curve] : curves) plot.curves.push_back(std::move(curve));
  return plot;
}

LearningPlot curves_plot(const std::vector<Outcome>& outcomes) {
  LearningPlot plot("Learning curves", quality_name(outcomes));
  for (const Outcome& outcome : outcomes) {
    plot.add(in_words(*outcome.run), outcome.curve,
             [&](const train::CurvePoint& point) { return quality(outcome, point); });
  }
  return plot;
}

Json to_json(const Outcome& outcome, const std::vector<train::SweepAxis>& axes) {
  Json json = {{"settings", Json::object()}, {"folder", outcome.run->recipe.train.output}};
  for (size_t i = 0; i < axes.size(); ++i) {
    json["settings"][axes[i].key] = outcome.run->values[i];
  }
  json["steps"] = outcome.steps;
  json["seconds"] = outcome.seconds;
  if (!outcome.failure.empty()) json["failure"] = outcome.failure;
  if (outcome.best) {
    json[quality_name({outcome})] = quality(outcome, *outcome.best);
    json["loss"] = outcome.best->loss;
    json["best_step"] = outcome.best->step;
  }
  json["curve"] = Json::array();
  for (const train::CurvePoint& point : outcome.curve) {
    Json entry = {{"step", point.step}, {"seconds", point.seconds}, {"loss", point.loss}};
    if (point.metric != "loss") entry[point.metric] = point.quality;
    json["curve"].push_back(std::move(entry));
  }
  return json;
}

void save(const std::vector<Outcome>& outcomes, const std::vector<train::SweepAxis>& axes,
          const fs::path& path) {
  Json json = Json::array();
  for (const Outcome& outcome : outcomes) json.push_back(to_json(outcome, axes));
  replace_file(path, json.dump(2) + "\n");
}

// All runs in turn, until `stop`; one that fails does not keep the others from running.
class Sweep {
 public:
  Sweep(const std::vector<train::SweepRun>& runs, const Console& console)
      : runs_(runs), console_(console), data_(console) {}

  // False where it was stopped.
  bool train_all() {
    for (const train::SweepRun& run : runs_) {
      console_.err << fmt::format("run {} of {}: {}\n", outcomes_.size() + 1, runs_.size(),
                                  in_words(run));
      if (!train_one(run)) return false;
    }
    return true;
  }

  const std::vector<Outcome>& outcomes() const { return outcomes_; }

 private:
  bool train_one(const train::SweepRun& run) {
    try {
      ConsoleWatcher watcher(console_, run.recipe.train.log_every);
      const train::TrainResult result =
          train::train_or_resume(run.recipe, data_.of(run.recipe), watcher, stop_.raised());
      watcher.finish();
      if (result.ended == train::Ended::kInterrupted) return false;
      outcomes_.push_back(outcome_of(run, result));
    } catch (const Error& error) {
      console_.err << fmt::format("failed: {}\n", error.what());
      outcomes_.push_back({.run = &run, .failure = error.what()});
    }
    return !stop_.raised();
  }

  const std::vector<train::SweepRun>& runs_;
  const Console& console_;
  const StopSignal stop_;
  SharedData data_;
  std::vector<Outcome> outcomes_;
};

}  // namespace

void add(CLI::App& app, SweepFlags& flags) {
  add(app, flags.recipe);
  app.add_option("--over", flags.over,
                 "key of the recipe and its values, separated by commas; several keys: all "
                 "combinations")
      ->required()
      ->type_name("KEY=VALUES")
      ->allow_extra_args(false);
  app.add_option("--json", flags.json, "writes settings, results and curves into this file")
      ->type_name("FILE");
  app.footer(
      "Each run has a folder within train.output, named after its values. Started again, the sweep "
      "goes on where it was: runs that have ended are left as they are.\n\n"
      "EXAMPLES\n"
      "  lowrank sweep recipe.toml --over model.attention.landmarks=16,32,64\n"
      "  lowrank sweep recipe.toml --over 'model.attention={kind=\"exact\"},{kind=\"linformer\", "
      "projected=64}' --over train.seed=1,2,3");
}

int run(const SweepFlags& flags, const Console& console) {
  std::vector<train::SweepAxis> axes;
  std::vector<train::SweepRun> runs;
  fs::path output;
  try {
    axes = axes_of(flags);
    runs = train::sweep_runs(flags.recipe.recipe, flags.recipe.set, axes);
    output = load(flags.recipe).train.output;
  } catch (const Misuse&) {
    throw;
  } catch (const Error& error) {
    throw Misuse(error.what());
  }
  for (train::SweepRun& one : runs) one.recipe.data.skip_bad |= flags.recipe.skip_bad;

  Sweep sweep(runs, console);
  const bool finished = sweep.train_all();
  const std::vector<Outcome>& outcomes = sweep.outcomes();
  if (!outcomes.empty()) {
    print_table(outcomes, axes, console.out);
    draw(quality_plot(outcomes, axes), output / "sweep.png", console);
    curves_plot(outcomes).draw(output / "curves.png", console);
    if (!flags.json.empty()) save(outcomes, axes, flags.json);
  }
  if (!finished) {
    console.err << fmt::format(
        "lowrank sweep: interrupted after {} of {} runs; the state is saved. The same command goes "
        "on.\n",
        outcomes.size(), runs.size());
    return kInterrupted;
  }
  const auto failed = [](const Outcome& outcome) { return !outcome.failure.empty(); };
  return std::any_of(outcomes.begin(), outcomes.end(), failed) ? kFailed : kDone;
}

}  // namespace lowrank::cli
