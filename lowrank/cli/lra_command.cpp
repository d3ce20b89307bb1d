// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/lra_command.h"

#include <fmt/format.h>
#include <stdlib.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <optional>

#include "lowrank/base/file.h"
#include "lowrank/cli/console_watcher.h"
#include "lowrank/cli/learning_plot.h"
#include "lowrank/cli/lra_results.h"
#include "lowrank/cli/misuse.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/recipe_flags.h"
#include "lowrank/cli/stop_signal.h"
#include "lowrank/cli/validators.h"
#include "lowrank/train/trainer.h"

namespace lowrank::cli {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kDataVariable = "LOWRANK_LRA";  // in the recipes' names of files
constexpr int64_t kFewExamples = 500;                 // validated on by a run of some of the steps

// Thrown out of an evaluation when the command is to stop.
struct Stopped {};

struct LraRun {
  std::string task, kind;
  int64_t published_steps = 0;
  train::Recipe recipe;

  fs::path result_file() const { return fs::path(recipe.train.output) / "result.json"; }
};

AttentionKind attention_of(const std::string& kind, const LraFlags& flags,
                           const train::Recipe& recipe) {
  if (kind == "exact") return ExactOptions{};
  if (kind == "linformer") {
    return LinformerOptions{.projected = flags.projected,
                            .max_length = recipe.model.embeddings.max_positions,
                            .sharing = LinformerSharing::kLayerwise};
  }
  // The recipe's own, with its convolution.
  NystromOptions nystrom;
  for (const AttentionKind& own : recipe.model.attention) {
    if (const auto* found = std::get_if<NystromOptions>(&own)) nystrom = *found;
  }
  nystrom.landmarks = flags.landmarks;
  return nystrom;
}

std::string name_of(const std::string& kind, const LraFlags& flags) {
  if (kind == "exact") return kind;
  return fmt::format("{} {}", kind, kind == "nystrom" ? flags.landmarks : flags.projected);
}

// The recipe of a task for one kind, with `share` of its steps: its schedule is a share of the run, and so
// shrinks with it.
LraRun make_run(const std::string& task, const std::string& kind, const LraFlags& flags) {
  LraRun run{.task = task, .kind = name_of(kind, flags), .published_steps = 0, .recipe = {}};
  run.recipe = train::load_recipe(fs::path(flags.recipes) / (task + ".toml"), flags.set);
  train::TrainOptions& options = run.recipe.train;
  if (options.steps == 0) {
    throw Error(fmt::format("{}/{}.toml: train.steps is not set; --share is one of steps. Set it.",
                            flags.recipes, task));
  }
  run.published_steps = options.steps;
  run.recipe.model.attention = {attention_of(kind, flags, run.recipe)};
  models::check(run.recipe.model, task + " with " + run.kind);
  std::string folder = run.kind;
  std::replace(folder.begin(), folder.end(), ' ', '_');
  options.output = (fs::path(flags.output) / task / folder).string();
  if (flags.share < 1) {
    const double steps = flags.share * static_cast<double>(options.steps);
    options.steps = std::max<int64_t>(1, std::llround(steps));
    options.evaluate_every = std::max<int64_t>(1, options.steps / flags.evaluations);
    options.evaluate_most = kFewExamples;
  }
  options.evaluate_most = flags.evaluate_most.value_or(options.evaluate_most);
  return run;
}

// The runs of each task: all recipes are read before the first one is trained.
std::vector<std::vector<LraRun>> make_runs(const LraFlags& flags) {
  std::vector<std::vector<LraRun>> tasks;
  try {
    for (const std::string& task : flags.tasks) {
      tasks.emplace_back();
      for (const std::string& kind : flags.kinds) {
        tasks.back().push_back(make_run(task, kind, flags));
      }
    }
  } catch (const Error& error) {
    throw Misuse(error.what());
  }
  return tasks;
}

// Shows a run, and takes the time of its steps apart from that of its evaluations.
class TimingWatcher final : public train::Watcher {
 public:
  TimingWatcher(const Console& console, int64_t log_every) : shown_(console, log_every) {}

  void on_start(const models::Model& model, const train::Recipe& recipe) override {
    shown_.on_start(model, recipe);
    last_ = Clock::now();
  }
  void on_step(const Step& step) override {
    seconds_ += std::chrono::duration<double>(Clock::now() - last_).count();
    ++steps_;
    shown_.on_step(step);
    last_ = Clock::now();
  }
  void on_evaluation(int64_t step, const train::Evaluation& evaluation, bool best) override {
    shown_.on_evaluation(step, evaluation, best);
    last_ = Clock::now();
  }
  void on_save(int64_t, const fs::path&) override { last_ = Clock::now(); }
  void on_note(const std::string& note) override { shown_.on_note(note); }

  void finish() { shown_.finish(); }

  // 0 where this sitting had no steps.
  double seconds_per_step() const {
    return steps_ == 0 ? 0 : seconds_ / static_cast<double>(steps_);
  }

 private:
  ConsoleWatcher shown_;
  Clock::time_point last_ = Clock::now();
  double seconds_ = 0;
  int64_t steps_ = 0;
};

// All runs in turn.
class Arena {
 public:
  Arena(const LraFlags& flags, const Console& console) : flags_(flags), console_(console) {}

  // One task's runs after the other's. False where it was stopped.
  bool run_all(const std::vector<std::vector<LraRun>>& tasks) {
    for (const std::vector<LraRun>& runs : tasks) {
      if (!run_task(runs)) return false;
      draw(runs.front().task);
    }
    return true;
  }

  const std::vector<LraResult>& results() const { return results_; }

 private:
  bool run_task(const std::vector<LraRun>& runs) {
    std::optional<data::Splits> splits;  // read for the first run that needs them
    for (const LraRun& run : runs) {
      if (const auto finished = finished_result(run)) {
        console_.err << fmt::format("{}, {}: done before\n", run.task, run.kind);
        results_.push_back(*finished);
        continue;
      }
      if (!splits) splits = read_data(run.recipe, console_);
      console_.err << fmt::format("{}, {}: {} of {} steps\n", run.task, run.kind,
                                  grouped(run.recipe.train.steps), grouped(run.published_steps));
      if (!run_one(run, *splits)) return false;
    }
    return true;
  }

  // The result of a run that has as many steps already.
  static std::optional<LraResult> finished_result(const LraRun& run) {
    if (!fs::exists(run.result_file())) return std::nullopt;
    const std::string where = run.result_file().string();
    LraResult result = lra_result(parse_json(read_file(where), where), where);
    if (result.steps < run.recipe.train.steps) return std::nullopt;
    return result;
  }

  bool run_one(const LraRun& run, const data::Splits& splits) {
    TimingWatcher watcher(console_, run.recipe.train.log_every);
    const train::TrainResult trained =
        train::train_or_resume(run.recipe, splits, watcher, stop_.raised());
    watcher.finish();
    if (trained.ended == train::Ended::kInterrupted) return false;
    if (trained.ended == train::Ended::kDiskFull) {
      throw Error(fmt::format("{}: the disk is full. Make room and run the same command again.",
                              run.recipe.train.output));
    }
    LraResult result{.task = run.task,
                     .kind = run.kind,
                     .steps = trained.steps,
                     .published_steps = run.published_steps,
                     .seconds = trained.seconds,
                     .seconds_per_step = watcher.seconds_per_step(),
                     .validation_accuracy = trained.best,
                     .curve = train::learning_curve(run.recipe.train.output)};
    if (result.seconds_per_step == 0 && result.steps > 0) {  // an earlier sitting had all steps
      result.seconds_per_step = result.seconds / static_cast<double>(result.steps);
    }
    if (!test(run, splits.test, result)) return false;
    replace_file(run.result_file(), to_json(result).dump(2) + "\n");
    results_.push_back(std::move(result));
    return !stop_.raised();
  }

  bool test(const LraRun& run, const data::Dataset& dataset, LraResult& result) {
    ProgressBar bar(console_);
    const train::TrainedModel best = train::load_trained(run.recipe.train.output);
    const auto tokenizer = train::tokenizer_of(best);
    best.model->to(at::Device(run.recipe.train.device));
    try {
      const train::Evaluation evaluation = train::evaluate(
          *best.model, data::evenly_spread(dataset, run.recipe.train.evaluate_most), *tokenizer,
          train::batch_options(run.recipe), [&](int64_t done, int64_t total) {
            if (stop_.raised()) throw Stopped{};
            bar.update(static_cast<double>(done) / static_cast<double>(total), "test");
          });
      result.test_accuracy = evaluation.accuracy;
      result.test_count = evaluation.count;
    } catch (const Stopped&) {
      return false;
    }
    bar.print(
        fmt::format("{}, {}: test accuracy {}", run.task, run.kind, percent(result.test_accuracy)));
    return true;
  }

  // Accuracy against steps for the kinds of a task.
  void draw(const std::string& task) const {
    LearningPlot plot("Long Range Arena: " + task, "validation accuracy");
    for (const LraResult& result : results_) {
      if (result.task != task) continue;
      plot.add(result.kind, result.curve,
               [](const train::CurvePoint& point) { return point.accuracy; });
    }
    plot.draw(fs::path(flags_.output) / (task + ".png"), console_);
  }

  const LraFlags& flags_;
  const Console& console_;
  const StopSignal stop_;
  std::vector<LraResult> results_;
};

}  // namespace

void add(CLI::App& app, LraFlags& flags) {
  flags.tasks = kLraTasks;
  app.add_option("--tasks", flags.tasks, "tasks, separated by commas")
      ->delimiter(',')
      ->check(one_of(kLraTasks))
      ->type_name("")
      ->default_str("listops,text,retrieval,image,pathfinder");
  app.add_option("--kinds", flags.kinds, "attention kinds, separated by commas")
      ->delimiter(',')
      ->check(one_of({"exact", "nystrom", "linformer"}))
      ->type_name("")
      ->default_str("exact,nystrom,linformer");
  app.add_option("--share", flags.share, "share of the published steps, 0 to 1")
      ->check(CLI::Range(1e-9, 1.0))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--data", flags.data, "folder of the tasks' data; else $LOWRANK_LRA or data/lra")
      ->type_name("FOLDER");
  app.add_option("--output", flags.output, "folder of the runs")
      ->type_name("FOLDER")
      ->capture_default_str();
  app.add_option("--recipes", flags.recipes, "folder of the tasks' recipes")
      ->type_name("FOLDER")
      ->capture_default_str();
  app.add_option("--landmarks", flags.landmarks, "of nystrom")
      ->check(whole_number(1, 65536))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--projected", flags.projected, "of linformer")
      ->check(whole_number(1, 65536))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--evaluations", flags.evaluations, "validations of a run with a --share below 1")
      ->check(whole_number(1, 1'000'000))
      ->type_name("")
      ->capture_default_str();
  app.add_option(
         "--evaluate-most", flags.evaluate_most,
         "examples of validation and test; 0: all; else all, and 500 with a --share below 1")
      ->check(whole_number(0, 1'000'000'000))
      ->type_name("");
  app.add_option("--set", flags.set, "replaces a key of the recipes")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_option("--json", flags.json, "writes results and curves into this file")
      ->type_name("FILE");
  app.footer(
      "Started again, it goes on where it was: finished runs are left as they are. Ctrl-C "
      "saves.\n\n"
      "EXAMPLE\n"
      "  lowrank lra --tasks listops,image --share 0.01 --data data/lra");
}

int run(const LraFlags& flags, const Console& console) {
  if (!flags.data.empty()) ::setenv(kDataVariable, flags.data.c_str(), /*overwrite=*/1);
  const std::vector<std::vector<LraRun>> tasks = make_runs(flags);
  Arena arena(flags, console);
  const bool finished = arena.run_all(tasks);
  print_lra_table(arena.results(), console.out);
  if (!flags.json.empty()) replace_file(flags.json, lra_report(arena.results()).dump(2) + "\n");
  if (finished) return kDone;
  console.err << fmt::format(
      "lowrank lra: interrupted after {}; the state is saved. The same command goes on.\n",
      counted(std::ssize(arena.results()), "run"));
  return kInterrupted;
}

}  // namespace lowrank::cli
