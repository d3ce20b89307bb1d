// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/eval_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "lowrank/cli/evaluation_report.h"
#include "lowrank/cli/picture.h"
#include "lowrank/cli/progress_bar.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/validators.h"
#include "lowrank/serve/reading.h"
#include "lowrank/train/trainer.h"

namespace lowrank::cli {
namespace {

// `dataset` with the labels of a model that may know its classes in another order, or more of them.
data::Dataset with_labels_of(const data::Dataset& dataset,
                             const std::vector<std::string>& classes) {
  std::vector<int64_t> label_of;
  for (const std::string& name : dataset.classes) {
    const auto found = std::find(classes.begin(), classes.end(), name);
    if (found == classes.end()) {
      throw Error(
          fmt::format("the data has the class \"{}\"; the model knows only {}. Leave the class "
                      "out, or train on it.",
                      name, fmt::join(classes, ", ")));
    }
    label_of.push_back(found - classes.begin());
  }
  data::Dataset relabeled = dataset;
  relabeled.classes = classes;
  for (data::Example& example : relabeled.examples) {
    if (example.label >= 0) example.label = label_of[static_cast<size_t>(example.label)];
    for (data::Word& word : example.words) word.label = label_of[static_cast<size_t>(word.label)];
  }
  return relabeled;
}

void draw_confusion(const train::Evaluation& evaluation, const std::string& headline,
                    const EvalFlags& flags, const Console& console) {
  io::MatrixPlot plot{.title = fmt::format("{}: {}", headline, quality_in_words(evaluation)),
                      .x_label = "predicted class",
                      .y_label = "true class",
                      .columns = evaluation.classes,
                      .rows = evaluation.classes,
                      .values = {}};
  for (const auto& row : evaluation.confusion) plot.values.emplace_back(row.begin(), row.end());
  draw(plot, flags.picture, console);
}

train::Evaluation evaluate_with_progress(train::TrainedModel& trained, const data::Dataset& dataset,
                                         const data::BatchOptions& options,
                                         const Console& console) {
  ProgressBar bar(console);
  const auto tokenizer = train::tokenizer_of(trained);
  return train::evaluate(*trained.model, dataset, *tokenizer, options,
                         [&](int64_t done, int64_t total) {
                           bar.update(static_cast<double>(done) / static_cast<double>(total),
                                      fmt::format("{} of {}", grouped(done), grouped(total)));
                         });
}

void require_measurable(const train::TrainedModel& trained, const EvalFlags& flags) {
  const models::Task task = trained.model->config().task;
  if (!models::is_about_classes(task) && task != models::Task::kTokenClassification &&
      task != models::Task::kMaskedLanguageModel) {
    throw Error(fmt::format(
        "{} is {} {}; eval measures classifiers, of tokens and of pairs too, and masked language "
        "models. Use "
        "\"lowrank {}\" with it.",
        trained.folder.string(), task == models::Task::kEncoder ? "an" : "a",
        models::in_words(task), serve::command_for(task)));
  }
  if (trained.has_recipe || !flags.recipe.recipe.empty()) return;
  throw Error(
      fmt::format("{} has no recipe.json, which names the data that a model was trained with. Give "
                  "a RECIPE that names data.",
                  trained.folder.string()));
}

}  // namespace

void add(CLI::App& app, EvalFlags& flags) {
  app.add_option("MODEL", flags.model, "folder of a run or of a model")->required()->type_name("");
  add(app, flags.recipe, RecipeIs::kOptional);
  app.add_option("--split", flags.split,
                 "part of the data (default: test, or validation where test has no labels)")
      ->check(one_of({"test", "validation", "train"}))
      ->type_name("");
  app.add_flag("--json", flags.json, "prints JSON");
  app.add_option("--picture", flags.picture, "draws the confusion matrix into this PNG file")
      ->type_name("FILE");
  app.footer(
      "Without RECIPE the model is measured on the data that it was trained with.\n\n"
      "EXAMPLE\n"
      "  lowrank eval runs/source_files --picture confusion.png");
}

int run(const EvalFlags& flags, const Console& console) {
  train::TrainedModel trained = train::load_trained(flags.model);
  require_measurable(trained, flags);
  const train::Recipe recipe = load(flags.recipe, trained.recipe);
  const models::ModelConfig& model = trained.model->config();
  const data::Splits splits = read_data(recipe, console);
  const std::string split = split_to_measure(splits, flags.split);
  const data::Dataset& examples = split_of(splits, split);
  const bool classifies = model.task != models::Task::kMaskedLanguageModel;
  const data::Dataset dataset = classifies ? with_labels_of(examples, model.classes) : examples;

  const train::Evaluation evaluation =
      evaluate_with_progress(trained, dataset, train::batch_options(recipe), console);
  if (flags.json) {
    console.out << train::to_json(evaluation).dump(2) << '\n';
  } else {
    print(evaluation, split, console.out);
  }
  if (!flags.picture.empty() && !evaluation.confusion.empty()) {
    draw_confusion(evaluation, split, flags, console);
  }
  return kDone;
}

}  // namespace lowrank::cli
