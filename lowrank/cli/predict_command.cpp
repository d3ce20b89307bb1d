// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/predict_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>

#include "lowrank/cli/escape.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/table.h"
#include "lowrank/cli/validators.h"
#include "lowrank/train/trainer.h"

namespace lowrank::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kTogether = 256;  // inputs that are predicted, and printed, together

using Probabilities = std::vector<double>;

data::Example example_of(std::string text, std::string source) {
  data::Example example;
  example.text = std::move(text);
  example.source = std::move(source);
  return example;
}

// Collects inputs, predicts them in groups and prints them in their order.
class Predictor {
 public:
  Predictor(train::TrainedModel trained, const PredictFlags& flags, const Console& console)
      : trained_(std::move(trained)),
        classes_(trained_.model->config().classes),
        tokenizer_(text::make_tokenizer(trained_.model->config().tokenizer, flags.model)),
        options_(train::batch_options(trained_.recipe)),
        flags_(flags),
        console_(console) {
    options_.on_overflow =
        flags.on_overflow.empty() ? trained_.recipe.data.on_overflow : flags.on_overflow;
  }

  void add_stream(std::istream& stream, const std::string& name) {
    if (flags_.lines) {
      add_lines(stream, name);
    } else {
      add(example_of({std::istreambuf_iterator<char>(stream), {}}, name));
    }
  }

  void add_path(const fs::path& path) {
    if (fs::is_directory(path)) {
      std::vector<fs::path> files;
      for (const auto& entry : fs::recursive_directory_iterator(path)) {
        if (entry.is_regular_file()) files.push_back(entry.path());
      }
      std::sort(files.begin(), files.end());
      for (const fs::path& file : files) add_file(file);
    } else {
      add_file(path);
    }
  }

  // Predicts what is left. Returns the command's status.
  int finish() {
    flush();
    say_what_was_truncated();
    return failed_ ? kFailed : kDone;
  }

 private:
  void add_file(const fs::path& path) {
    naming_errors([&] {
      if (!flags_.lines) {
        add(data::load_file(path.string(), trained_.recipe.data));
        return;
      }
      std::ifstream file(path);
      if (!file) throw Error(fmt::format("{} cannot be opened.", path.string()));
      add_lines(file, path.string());
    });
  }

  void add_lines(std::istream& stream, const std::string& name) {
    const bool pairs = !trained_.recipe.data.pair_column.empty();
    int64_t number = 0;
    for (std::string line; std::getline(stream, line);) {
      data::Example example = example_of(line, fmt::format("{}:{}", name, ++number));
      const size_t tab = line.find('\t');
      if (pairs && tab != std::string::npos) {
        example.text = line.substr(0, tab);
        example.pair = line.substr(tab + 1);
      }
      add(std::move(example));
    }
  }

  void add(data::Example example) {
    naming_errors([&] {
      if (example.text.empty()) {
        throw Error(fmt::format("{} is empty; there is nothing to label.", example.source));
      }
      add_pieces(example);
      waiting_.push_back(example.source);
    });
    if (waiting_.size() == kTogether) flush();
  }

  // An input that cannot be labelled is named; the others are still done.
  template <class Action>
  void naming_errors(const Action& action) {
    try {
      action();
    } catch (const Error& error) {
      console_.err << "lowrank predict: " << error.what() << '\n';
      failed_ = true;
    }
  }

  // Throws where an example is too long and must not be cut.
  void add_pieces(const data::Example& example) {
    const data::Dataset whole{.examples = {example}, .classes = {}};
    const bool cut = options_.on_overflow == "chunk";
    const data::Dataset pieces = cut ? data::chunk(whole, *tokenizer_, options_) : whole;
    for (const data::Example& piece : pieces.examples) {
      truncated_ += data::encode(piece, *tokenizer_, options_).truncated ? 1 : 0;
    }
    for (const data::Example& piece : pieces.examples) {
      pieces_.examples.push_back(piece);
      input_of_piece_.push_back(waiting_.size());
    }
  }

  void say_what_was_truncated() const {
    if (truncated_ == 0) return;
    console_.err << fmt::format(
        "lowrank predict: only the first {} tokens of {} were read. Use --on-overflow chunk to "
        "label the whole of each.\n",
        grouped(options_.max_length), counted(truncated_, "text"));
  }

  // Probabilities of each waiting input; those of a cut one are its pieces' mean by length.
  std::vector<Probabilities> predict() {
    const auto predicted = train::predict(*trained_.model, pieces_, *tokenizer_, options_);
    std::vector<Probabilities> mean(waiting_.size(), Probabilities(classes_.size(), 0));
    std::vector<double> weights(waiting_.size(), 0);
    for (size_t piece = 0; piece < predicted.size(); ++piece) {
      const size_t input = input_of_piece_[piece];
      const auto weight = static_cast<double>(pieces_.examples[piece].text.size());
      weights[input] += weight;
      for (size_t c = 0; c < classes_.size(); ++c) mean[input][c] += weight * predicted[piece][c];
    }
    for (size_t i = 0; i < mean.size(); ++i) {
      for (double& probability : mean[i]) probability /= weights[i];
    }
    return mean;
  }

  // Class indices of the highest probabilities, best first.
  std::vector<size_t> best(const Probabilities& probabilities) const {
    std::vector<size_t> order(probabilities.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [&](size_t a, size_t b) { return probabilities[a] > probabilities[b]; });
    order.resize(std::min(order.size(), static_cast<size_t>(flags_.top)));
    return order;
  }

  void flush() {
    if (waiting_.empty()) return;
    const std::vector<Probabilities> predicted = predict();
    if (flags_.json) {
      print_json(predicted);
    } else {
      print_table(predicted);
    }
    console_.out << std::flush;
    waiting_.clear();
    pieces_.examples.clear();
    input_of_piece_.clear();
  }

  void print_table(const std::vector<Probabilities>& predicted) const {
    const size_t columns = 1 + std::min(classes_.size(), static_cast<size_t>(flags_.top));
    Table table(std::vector<std::string>(columns), columns);
    for (size_t i = 0; i < waiting_.size(); ++i) {
      std::vector<std::string> row = {escaped(waiting_[i])};
      for (const size_t c : best(predicted[i])) {
        row.push_back(fmt::format("{} {}", escaped(classes_[c]), percent(predicted[i][c])));
      }
      table.add_row(std::move(row));
    }
    table.print(console_.out);
  }

  void print_json(const std::vector<Probabilities>& predicted) const {
    for (size_t i = 0; i < waiting_.size(); ++i) {
      Json json = {{"source", waiting_[i]}, {"labels", Json::array()}};
      for (const size_t c : best(predicted[i])) {
        json["labels"].push_back({{"label", classes_[c]}, {"probability", predicted[i][c]}});
      }
      console_.out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    }
  }

  train::TrainedModel trained_;
  const std::vector<std::string> classes_;
  const std::shared_ptr<const text::Tokenizer> tokenizer_;
  data::BatchOptions options_;
  const PredictFlags& flags_;
  const Console& console_;
  std::vector<std::string> waiting_;  // sources of the inputs
  data::Dataset pieces_;              // their texts, cut where they had to be
  std::vector<size_t> input_of_piece_;
  int64_t truncated_ = 0;  // inputs
  bool failed_ = false;
};

}  // namespace

void add(CLI::App& app, PredictFlags& flags) {
  app.add_option("MODEL", flags.model, "folder of a run or of a model")->required()->type_name("");
  app.add_option("INPUT", flags.inputs, "files, or folders of files; none: standard input")
      ->type_name("");
  app.add_flag("--lines", flags.lines, "takes each line of the input as a text of its own");
  app.add_option("--top", flags.top, "classes printed of an input")
      ->check(whole_number(1, 1000))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--on-overflow", flags.on_overflow,
                 "what to do with input longer than max_length; chunk labels the pieces and takes "
                 "their mean (default: as the model's recipe says)")
      ->check(one_of({"error", "truncate", "chunk"}))
      ->type_name("");
  app.add_flag("--json", flags.json, "prints a JSON object a line");
  app.footer(
      "EXAMPLE\n"
      "  lowrank predict runs/source_files src/ notes.txt --top 2\n"
      "  echo 'import os' | lowrank predict runs/source_files");
}

int run(const PredictFlags& flags, const Console& console) {
  train::TrainedModel trained = train::load_trained(flags.model);
  if (trained.model->config().task != models::Task::kClassification) {
    throw Error(fmt::format(
        "{} is a masked language model, which has no classes. Predict needs a model trained with "
        "model.task = \"classification\".",
        flags.model));
  }
  Predictor predictor(std::move(trained), flags, console);
  if (flags.inputs.empty()) predictor.add_stream(console.in, "stdin");
  for (const std::string& input : flags.inputs) predictor.add_path(input);
  return predictor.finish();
}

}  // namespace lowrank::cli
