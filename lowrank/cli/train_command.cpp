// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/train_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "lowrank/cli/console_watcher.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/stop_signal.h"
#include "lowrank/train/trainer.h"

namespace lowrank::cli {
namespace {

// The command line that goes on with an interrupted run.
std::string resume_command(const TrainFlags& flags) {
  std::string command = "lowrank train " + flags.recipe.recipe;
  for (const std::string& setting : flags.recipe.set) command += " --set '" + setting + "'";
  if (flags.recipe.skip_bad) command += " --skip-bad";
  return command + " --resume";
}

void print_result(const train::TrainResult& result, const std::string& quality,
                  const train::Recipe& recipe, const Console& console) {
  console.out << fmt::format("trained {} in {}{}\n", counted(result.steps, "step"),
                             duration(result.seconds),
                             result.ended == train::Ended::kEarlyStop ? ", stopped early" : "");
  const std::string folder = result.best_folder.string();
  if (folder.empty()) return;
  console.out << fmt::format("best model: {}{}\n", folder,
                             quality.empty() ? "" : fmt::format(" (validation: {})", quality));
  console.out << fmt::format("next: lowrank eval {}\n", recipe.train.output);
  if (models::is_about_classes(recipe.model.task)) {
    console.out << fmt::format("      lowrank predict {} FILE...\n", recipe.train.output);
  }
}

}  // namespace

void add(CLI::App& app, TrainFlags& flags) {
  add(app, flags.recipe);
  app.add_flag("--resume", flags.resume, "goes on from the run's last saved state");
  app.footer(
      "Ctrl-C saves the state and ends with status 130; a second Ctrl-C ends at once.\n\n"
      "EXAMPLE\n"
      "  lowrank train recipes/source_files.toml --set train.minutes=5 --set model.layers=4");
}

int run(const TrainFlags& flags, const Console& console) {
  const train::Recipe recipe = load(flags.recipe);
  const data::Splits splits = read_data(recipe, console);
  ConsoleWatcher watcher(console, recipe.train.log_every);
  const StopSignal stop;
  const train::TrainResult result =
      train::train(recipe, splits, watcher, flags.resume, stop.raised());
  watcher.finish();

  switch (result.ended) {
    case train::Ended::kInterrupted:
      console.err << fmt::format(
          "lowrank train: interrupted after {}; the state is saved in {}/last. Go on with: {}\n",
          counted(result.steps, "step"), recipe.train.output, resume_command(flags));
      return kInterrupted;
    case train::Ended::kDiskFull:
      console.err << fmt::format(
          "lowrank train: the disk of {0} is full after {1}; the last good checkpoint is kept. "
          "Make "
          "room and go on with: {2}\n",
          recipe.train.output, counted(result.steps, "step"), resume_command(flags));
      return kFailed;
    case train::Ended::kDone:
    case train::Ended::kEarlyStop:
      break;
  }
  print_result(result, watcher.best(), recipe, console);
  return kDone;
}

}  // namespace lowrank::cli
