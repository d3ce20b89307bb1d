// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/predict_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <optional>

#include "lowrank/base/file.h"
#include "lowrank/cli/array_inputs.h"
#include "lowrank/cli/misuse.h"
#include "lowrank/cli/predict_task.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/run_progress.h"
#include "lowrank/cli/submission.h"
#include "lowrank/cli/validators.h"
#include "lowrank/data/glue.h"
#include "lowrank/models/foreign.h"
#include "lowrank/models/model_directory.h"
#include "lowrank/train/trainer.h"

namespace lowrank::cli {
namespace {

constexpr size_t kTogether = 256;  // inputs that are predicted, and printed, together
constexpr size_t kBeginning = 16;  // bytes that tell an array
constexpr int64_t kBudgets = 8;    // or so many batches' tokens

// The flags with what the model's recipe says where they say nothing.
InferenceFlags completed(InferenceFlags flags, const train::Recipe& recipe,
                         const serve::TextModel& model) {
  if (flags.on_overflow.empty()) flags.on_overflow = recipe.data.on_overflow;
  const bool grows = flags.on_overflow == "interpolate";
  if (flags.max_length == 0 && !grows) {
    flags.max_length = std::min(recipe.data.max_length, model.max_length);
  }
  return flags;
}

// Choices compete as whole sequences.
bool offers_chunks(models::Task task) { return task != models::Task::kMultipleChoice; }

PredictOptions options_of(const PredictFlags& flags, const InferenceFlags& inference,
                          const train::Recipe& recipe, models::Task task,
                          const serve::BatchRunner::Progress& progress) {
  PredictOptions options{.pieces = piece_options(inference, offers_chunks(task)),
                         .run = {.token_budget = inference.token_budget, .progress = progress},
                         .top = flags.top,
                         .question = flags.question,
                         .longest = flags.longest,
                         .no_answer_threshold = flags.no_answer_threshold,
                         .aggregate = flags.aggregate};
  options.pieces.special_tokens = recipe.train.special_tokens;
  return options;
}

// Reads inputs, predicts them in groups and prints them in their order.
class Predictor {
 public:
  Predictor(const serve::TextModel& model, const train::SavedRecipe& saved,
            const PredictFlags& flags, const Console& console)
      : saved_(saved),
        task_kind_(model.model->config().task),
        inference_(completed(flags.inference, saved.recipe, model)),
        progress_(console),
        task_(make_predict_task(model, options_of(flags, inference_, saved.recipe, task_kind_,
                                                  [this](int64_t n) { progress_.ran(n); }))),
        flags_(flags),
        console_(console) {}

  int run() {
    const TextFlags texts = text_flags();
    try {
      read(texts);
      flush();
    } catch (const Stopped&) {
      progress_.wipe();
      console_.err << fmt::format("lowrank predict: interrupted after {}.\n",
                                  counted(predicted_, "input"));
      return kInterrupted;
    }
    progress_.wipe();
    say_what_was_truncated();
    return failed_ ? kFailed : kDone;
  }

 private:
  // The flags with the keys of the task.
  TextFlags text_flags() const {
    TextFlags texts = flags_.texts;
    const TextFlags standard;
    if (texts.text_key == standard.text_key) texts.text_key = task_->text_key();
    if (texts.pair_key == standard.pair_key) texts.pair_key = task_->pair_key();
    const bool answers = task_kind_ == models::Task::kQuestionAnswering;
    const bool chooses = task_kind_ == models::Task::kMultipleChoice;
    if ((chooses || (answers && flags_.question.empty())) && !texts.jsonl) {
      throw Misuse(
          fmt::format("{} reads JSON lines of {}. Add --jsonl{}.",
                      chooses ? "a multiple choice model" : "a question answering model",
                      chooses ? "\"text\" and \"choices\"" : "\"question\" and \"context\"",
                      chooses ? "" : ", or ask one --question of every input"));
    }
    if (!answers && !flags_.question.empty()) {
      throw Misuse("--question is for question answering models. Leave it out.");
    }
    if (!answers && flags_.no_answer_threshold) {
      throw Misuse("--no-answer-threshold is for question answering models. Leave it out.");
    }
    if (chooses) {  // the task reads the objects itself
      texts.jsonl = false;
      texts.lines = true;
    }
    return texts;
  }

  void read(const TextFlags& texts) {
    if (!texts.inputs.empty() && !texts.lines && !texts.jsonl && saved_.is_own) {
      take_files_as_trained(texts.inputs);
      return;
    }
    const TextSource source(texts, console_, complain_);
    progress_.expect(source.bytes());
    source.read([this](const serve::TextInput& input) { take(input); });
  }

  // Whole files, cut and stripped as those that the model was trained on.
  void take_files_as_trained(const std::vector<std::string>& paths) {
    const std::vector<std::filesystem::path> files = serve::find_texts(paths, complain_);
    progress_.expect(bytes_of(files));
    for (const std::filesystem::path& file : files) {
      progress_.take(bytes_of({file}));
      naming_errors([&] {
        if (is_array(read_file(file, kBeginning))) throw Error(not_a_text(file.string()));
        const data::Example example = data::load_file(file.string(), saved_.recipe.data);
        add({.text = example.text, .source = file.string()});
      });
    }
  }

  void take(serve::TextInput input) {
    progress_.take(std::ssize(input.text) + 1);
    const size_t tab = input.text.find('\t');
    const data::DataOptions& data = saved_.recipe.data;
    const bool pairs = data.format == data::Format::kGlue ? data::glue_has_pairs(data.task)
                                                          : !data.pair_column.empty();
    if (pairs && flags_.texts.lines && tab != std::string::npos) {
      input.pair = input.text.substr(tab + 1);
      input.text.resize(tab);
    }
    naming_errors([&] { add(input); });
  }

  void add(const serve::TextInput& input) {
    serve::Reading reading = task_->read(input);
    truncated_ += reading.pieces.truncated ? 1 : 0;
    held_ += reading.pieces.tokens();
    waiting_.push_back(std::move(reading));
    const bool enough = held_ >= kBudgets * inference_.token_budget;
    if (enough || waiting_.size() == kTogether) flush();
  }

  // An input that cannot be read is named; the others are still done.
  template <class Action>
  void naming_errors(const Action& action) {
    try {
      action();
    } catch (const Error& error) {
      complain_(error.what());
    }
  }

  void flush() {
    if (waiting_.empty()) return;
    std::vector<serve::Reading> readings;
    readings.swap(waiting_);
    held_ = 0;
    const std::vector<Prediction> predictions = task_->predict(readings);
    std::vector<std::string> sources;
    for (const serve::Reading& reading : readings) sources.push_back(reading.pieces.source);
    progress_.wipe();  // what follows may go to the same terminal
    print(sources, predictions, flags_.json, console_.out);
    predicted_ += std::ssize(sources);
  }

  void say_what_was_truncated() const {
    if (truncated_ == 0) return;
    console_.err << fmt::format(
        "lowrank predict: only the first {} tokens of {} were read. Use --on-overflow {} to label "
        "the whole of each.\n",
        grouped(inference_.max_length), counted(truncated_, "text"),
        offers_chunks(task_kind_) ? "chunk" : "interpolate");
  }

  const train::SavedRecipe& saved_;
  const models::Task task_kind_;
  const InferenceFlags inference_;
  RunProgress progress_;
  const std::unique_ptr<PredictTask> task_;
  const PredictFlags& flags_;
  const Console& console_;
  const serve::Complain complain_ = [this](const std::string& sentence) {
    progress_.print("lowrank predict: " + sentence);
    failed_ = true;
  };
  std::vector<serve::Reading> waiting_;
  int64_t held_ = 0;       // tokens of those
  int64_t truncated_ = 0;  // inputs
  int64_t predicted_ = 0;  // inputs, printed
  bool failed_ = false;
};

}  // namespace

void add(CLI::App& app, PredictFlags& flags) {
  app.add_option("MODEL", flags.model, "folder of a run or of a model")->required()->type_name("");
  add(app, flags.texts);
  app.add_option("--top", flags.top, "classes, answers or choices printed of an input")
      ->check(whole_number(1, 1000))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--question", flags.question,
                 "question answering: asked of every input; else --jsonl has question and context")
      ->type_name("");
  app.add_option("--longest", flags.longest, "question answering: the most tokens of an answer")
      ->check(whole_number(1, 100'000))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--no-answer-threshold", flags.no_answer_threshold,
                 "question answering: says \"no answer\" where that scores higher than the best by "
                 "more than this, as a difference of logits (0: where it scores higher); without "
                 "it there always is an answer")
      ->check(CLI::Range(-1e6, 1e6))
      ->type_name("");
  app.add_option("--aggregate", flags.aggregate,
                 "labels of tokens: first labels words by their first piece and joins B- and I-, "
                 "none prints each piece")
      ->check(one_of({"none", "first"}))
      ->type_name("")
      ->capture_default_str();
  add(app, flags.inference,
      "what to do with input longer than max_length; chunk reads the pieces: classes are their "
      "mean "
      "(default: as the model's recipe says, or error)");
  app.add_flag("--json", flags.json, "prints a JSON object a line");
  app.add_option(
         "--submission", flags.submission,
         "of a model trained on a task of GLUE: predicts the task's test set, and nothing else, "
         "into this folder's file for the benchmark")
      ->type_name("FOLDER");
  app.footer(
      "EXAMPLE\n"
      "  lowrank predict runs/source_files src/ notes.txt --top 2\n"
      "  echo 'import os' | lowrank predict runs/source_files\n"
      "  lowrank predict models/reader manual.txt --question 'How hot?' --on-overflow chunk\n"
      "  lowrank predict models/transmil bags/ --json      # .npy files, [n, c] or [b, n, c]");
}

int run(const PredictFlags& flags, const Console& console) {
  if (!flags.submission.empty()) {
    if (!flags.texts.inputs.empty()) {
      throw Misuse("--submission predicts the task's own test set. Leave the other inputs out.");
    }
    train::TrainedModel trained = train::load_trained(flags.model);
    write_submission(trained, flags.submission, console);
    return kDone;
  }
  const std::filesystem::path folder = models::find_model(flags.model);
  if (models::is_foreign_folder(folder)) return predict_arrays(flags, folder, console);
  const serve::TextModel model = load(flags.model, flags.inference);
  const train::SavedRecipe saved = train::recipe_of(model.folder, model.model->config());
  return Predictor(model, saved, flags, console).run();
}

}  // namespace lowrank::cli
