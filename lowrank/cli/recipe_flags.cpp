// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/recipe_flags.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "lowrank/cli/misuse.h"
#include "lowrank/cli/progress_bar.h"
#include "lowrank/cli/quantity.h"

namespace lowrank::cli {
namespace {

train::Recipe with_settings(const train::Recipe& recipe, const std::vector<std::string>& settings) {
  Json json = train::to_json(recipe);
  for (const std::string& setting : settings) set_config_value(json, setting);
  train::Recipe read;
  read_config(json, "--set", [&](ConfigFields& fields) { describe(fields, read); });
  return read;
}

// A recipe and its settings are the command line's: what is wrong in them is misuse.
template <class Read>
train::Recipe checked(const RecipeFlags& flags, const Read& read) {
  try {
    train::Recipe recipe = read();
    recipe.data.skip_bad |= flags.skip_bad;
    return recipe;
  } catch (const Error& error) {
    throw Misuse(error.what());
  }
}

}  // namespace

void add(CLI::App& app, RecipeFlags& flags, RecipeIs is) {
  app.add_option("RECIPE", flags.recipe,
                 is == RecipeIs::kRequired ? "TOML file that names data, model and training"
                                           : "TOML file that names other data")
      ->required(is == RecipeIs::kRequired)
      ->type_name("");
  app.add_option("--set", flags.set,
                 "sets a key of the recipe, as in data.max_length=4096; repeatable")
      ->type_name("KEY=VALUE")
      ->allow_extra_args(false);
  app.add_flag("--skip-bad", flags.skip_bad, "counts and leaves out bad rows instead of failing");
}

train::Recipe load(const RecipeFlags& flags) {
  return checked(flags, [&] { return train::load_recipe(flags.recipe, flags.set); });
}

train::Recipe load(const RecipeFlags& flags, const train::Recipe& trained) {
  return checked(flags, [&] {
    train::Recipe recipe = trained;
    if (!flags.recipe.empty()) recipe.data = train::load_recipe(flags.recipe).data;
    return flags.set.empty() ? recipe : with_settings(recipe, flags.set);
  });
}

data::Splits read_data(const train::Recipe& recipe, const Console& console) {
  data::Splits splits;
  {
    ProgressBar bar(console);
    splits = train::load_data(recipe, [&](int64_t done, int64_t total) {
      const double share = total == 0 ? 1 : static_cast<double>(done) / static_cast<double>(total);
      bar.update(share, fmt::format("reading {} of {}", grouped(done), grouped(total)));
    });
  }
  for (const std::string& note : splits.report.notes) console.err << "note: " << note << '\n';
  return splits;
}

}  // namespace lowrank::cli
