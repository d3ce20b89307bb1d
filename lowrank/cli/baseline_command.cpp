// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/baseline_command.h"

#include <CLI/CLI.hpp>

#include "lowrank/cli/evaluation_report.h"
#include "lowrank/cli/validators.h"
#include "lowrank/train/baseline.h"

namespace lowrank::cli {

void add(CLI::App& app, BaselineFlags& flags) {
  add(app, flags.recipe);
  app.add_option("--kind", flags.kind, "linear: a linear model on byte trigrams")
      ->check(one_of({"linear"}))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--split", flags.split,
                 "part of the data that it is measured on (default: test, or validation where test "
                 "has no labels)")
      ->check(one_of({"test", "validation", "train"}))
      ->type_name("");
  app.add_flag("--json", flags.json, "prints JSON");
  app.footer(
      "EXAMPLE\n"
      "  lowrank baseline recipes/source_files.toml");
}

int run(const BaselineFlags& flags, const Console& console) {
  const train::Recipe recipe = load(flags.recipe);
  const data::Splits splits = read_data(recipe, console);
  const std::string split = split_to_measure(splits, flags.split);
  const train::Evaluation evaluation = train::linear_baseline(splits, split_of(splits, split));
  if (flags.json) {
    console.out << train::to_json(evaluation).dump(2) << '\n';
  } else {
    print(evaluation, "linear model on byte trigrams, " + split, console.out);
  }
  return kDone;
}

}  // namespace lowrank::cli
