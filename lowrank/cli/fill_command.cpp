// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/fill_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "lowrank/cli/escape.h"
#include "lowrank/cli/misuse.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/run_progress.h"
#include "lowrank/cli/table.h"
#include "lowrank/cli/validators.h"
#include "lowrank/serve/fill.h"
#include "lowrank/train/trainer.h"

namespace lowrank::cli {
namespace {

constexpr size_t kTogether = 64;  // texts that are filled, and printed, together

// The text as it was before guarded_texts().
std::string without_guard(std::string text) {
  if (text.ends_with('\0')) text.pop_back();
  return text;
}

// Reads texts, fills them in groups and prints them in their order.
class FillRun {
 public:
  FillRun(const serve::TextModel& model, const FillFlags& flags, const Console& console)
      : model_(model),
        options_(piece_options(flags.inference, /*offers_chunks=*/false)),
        flags_(flags),
        console_(console),
        progress_(console) {
    const train::SavedRecipe saved = train::recipe_of(model.folder, model.model->config());
    options_.special_tokens = saved.recipe.train.special_tokens;
  }

  int run() {
    try {
      read();
      flush();
    } catch (const Stopped&) {
      progress_.wipe();
      console_.err << fmt::format("lowrank fill: interrupted after {}.\n",
                                  counted(filled_, "text"));
      return kInterrupted;
    }
    progress_.wipe();
    return failed_ ? kFailed : kDone;
  }

 private:
  void read() {
    int64_t bytes = 0;
    for (const std::string& text : flags_.texts) bytes += std::ssize(text);
    progress_.expect(bytes);
    for (size_t i = 0; i < flags_.texts.size(); ++i) {
      take({.text = without_guard(flags_.texts[i]), .source = fmt::format("text {}", i + 1)});
    }
    if (!flags_.texts.empty()) return;
    serve::read_texts(
        console_.in, "stdin", {.format = serve::TextFormat::kLines},
        [this](const serve::TextInput& input) { take(input); },
        [this](const std::string& sentence) { complain(sentence); });
  }

  void complain(const std::string& sentence) {
    progress_.print("lowrank fill: " + sentence);
    failed_ = true;
  }

  // A text that cannot be read is named; the others are still done.
  void take(const serve::TextInput& input) {
    progress_.take(std::ssize(input.text));
    try {
      waiting_.push_back(serve::read_blanks(model_, input, options_));
    } catch (const Error& error) {
      complain(error.what());
      return;
    }
    if (waiting_.size() == kTogether) flush();
  }

  void flush() {
    if (waiting_.empty()) return;
    const serve::RunOptions options{.token_budget = flags_.inference.token_budget,
                                    .progress = [this](int64_t n) { progress_.ran(n); }};
    const auto filled = serve::fill(model_, waiting_, flags_.top, options);
    progress_.wipe();  // what follows may go to the same terminal
    if (flags_.json) {
      for (size_t i = 0; i < filled.size(); ++i) print_json(waiting_[i].input, filled[i]);
    } else {
      print_table(filled);
    }
    console_.out << std::flush;
    filled_ += std::ssize(waiting_);
    waiting_.clear();
  }

  void print_table(const std::vector<std::vector<serve::Blank>>& filled) const {
    Table table(std::vector<std::string>(5), 5);
    for (size_t i = 0; i < filled.size(); ++i) {
      for (size_t blank = 0; blank < filled[i].size(); ++blank) {
        for (const serve::Guess& guess : filled[i][blank].guesses) {
          table.add_row({escaped(waiting_[i].input.source), fmt::format("blank {}", blank + 1),
                         escaped(guess.word), percent(guess.probability), escaped(guess.text)});
        }
      }
    }
    table.print(console_.out);
  }

  void print_json(const serve::TextInput& input, const std::vector<serve::Blank>& blanks) const {
    Json json = {{"source", input.source}, {"text", input.text}, {"blanks", Json::array()}};
    for (const serve::Blank& blank : blanks) {
      Json guesses = Json::array();
      for (const serve::Guess& guess : blank.guesses) {
        guesses.push_back({{"word", guess.word},
                           {"probability", guess.probability},
                           {"token", guess.token},
                           {"id", guess.id},
                           {"text", guess.text}});
      }
      json["blanks"].push_back({{"begin_byte", blank.bytes.begin},
                                {"end_byte", blank.bytes.end},
                                {"guesses", std::move(guesses)}});
    }
    console_.out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
  }

  const serve::TextModel& model_;
  serve::PieceOptions options_;
  const FillFlags& flags_;
  const Console& console_;
  RunProgress progress_;
  std::vector<serve::Reading> waiting_;
  int64_t filled_ = 0;  // texts, printed
  bool failed_ = false;
};

}  // namespace

std::vector<std::string> guarded_texts(std::vector<std::string> arguments) {
  for (std::string& argument : arguments) {
    if (argument.starts_with('[') && argument.ends_with(']')) argument += '\0';
  }
  return arguments;
}

void add(CLI::App& app, FillFlags& flags) {
  app.add_option("MODEL", flags.model, "folder of a run or of a model")->required()->type_name("");
  app.add_option("TEXT", flags.texts,
                 "texts with the tokenizer's mask ([MASK], <mask>) where a word is missing; none: "
                 "the lines of standard input")
      ->type_name("");
  app.add_option("--top", flags.top, "words printed of a blank")
      ->check(whole_number(1, 1'000'000))
      ->type_name("")
      ->capture_default_str();
  add(app, flags.inference, "what to do with a text longer than max_length; fill does not chunk");
  app.add_flag("--json", flags.json, "prints a JSON object a text");
  app.footer("EXAMPLE\n  lowrank fill models/bert 'The [MASK] sat on the mat.' --top 3");
}

int run(const FillFlags& flags, const Console& console) {
  if (flags.inference.on_overflow == "chunk") {
    throw Misuse(
        "--on-overflow = chunk; a blank is guessed from all of its text. Use error, truncate or "
        "interpolate.");
  }
  const serve::TextModel model = load(flags.model, flags.inference);
  serve::require_task(model, models::Task::kMaskedLanguageModel);
  return FillRun(model, flags, console).run();
}

}  // namespace lowrank::cli
