// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/array_inputs.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <iterator>
#include <span>
#include <string_view>

#include "lowrank/base/file.h"
#include "lowrank/cli/misuse.h"
#include "lowrank/cli/prediction.h"
#include "lowrank/cli/progress_bar.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/stop_signal.h"
#include "lowrank/io/npy.h"
#include "lowrank/serve/array_model.h"

namespace lowrank::cli {
namespace {

namespace fs = std::filesystem;

// A flag, and whether it was given.
struct TextFlag {
  const char* name;
  bool given;
};

void refuse(const std::vector<TextFlag>& flags, const fs::path& folder) {
  for (const TextFlag& flag : flags) {
    if (!flag.given) continue;
    throw Misuse(fmt::format("{} is about text; {} reads arrays. Leave it out.", flag.name,
                             folder.string()));
  }
}

std::vector<TextFlag> text_flags(const TextFlags& texts, const InferenceFlags& inference,
                                 const InferenceFlags& standard) {
  const TextFlags usual;
  return {{"--lines", texts.lines},
          {"--jsonl", texts.jsonl},
          {"--text-key", texts.text_key != usual.text_key},
          {"--pair-key", texts.pair_key != usual.pair_key},
          {"--on-overflow", inference.on_overflow != standard.on_overflow},
          {"--max-length", inference.max_length != standard.max_length}};
}

void require_command(const serve::ArrayModel& model, const std::string& command) {
  const std::string right = serve::command_for(model.signature);
  if (right == command) return;
  throw Misuse(fmt::format("{} is a module of \"{}\", which {}. Use \"lowrank {}\" with it.",
                           model.folder.string(), model.package,
                           model.signature.classifies ? "has classes and no vectors to give"
                                                      : "has no classes: it makes vectors of rows",
                           right));
}

at::Tensor array_of(const serve::ArrayModel& model, std::string_view bytes,
                    const std::string& source) {
  if (!is_array(bytes)) {
    throw Error(fmt::format(
        "{}: this is no .npy file; {} is a module of \"{}\" and reads arrays, not text. "
        "Write {} with numpy.save.",
        source, model.folder.string(), model.package, serve::shape_in_words(model.signature)));
  }
  return io::read_npy(std::as_bytes(std::span(bytes)), source);
}

at::Tensor read_array(const serve::ArrayModel& model, const fs::path& file) {
  const MappedFile mapped(file);
  const auto bytes = mapped.bytes();
  return array_of(model, {reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                  file.string());
}

at::Tensor read_array(const serve::ArrayModel& model, std::istream& in) {
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  return array_of(model, bytes, "stdin");
}

std::vector<std::string> class_numbers(int64_t classes) {
  std::vector<std::string> names;
  for (int64_t i = 0; i < classes; ++i) names.push_back(fmt::format("{}", i));
  return names;
}

std::vector<double> probabilities_of(const at::Tensor& logits) {
  const at::Tensor numbers = logits.to(at::kDouble);
  const at::Tensor values = (numbers.numel() == 1 ? numbers : numbers.softmax(0)).contiguous();
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

// Classifies arrays one after the other, and prints what it has of each.
class ArrayPredictor {
 public:
  ArrayPredictor(const serve::ArrayModel& model, const PredictFlags& flags, const Console& console)
      : model_(model),
        flags_(flags),
        console_(console),
        bar_(console),
        classes_(class_numbers(model.signature.outputs)) {}

  int run() {
    if (flags_.texts.inputs.empty()) {
      naming_errors([&] { classify(read_array(model_, console_.in), "stdin"); });
    } else {
      const std::vector<fs::path> files =
          serve::find_texts(flags_.texts.inputs, [this](const std::string& s) { complain(s); });
      for (size_t i = 0; i < files.size() && !stop_.raised(); ++i) {
        done_ = static_cast<double>(i) / static_cast<double>(files.size());
        share_ = 1 / static_cast<double>(files.size());
        naming_errors([&] { classify(read_array(model_, files[i]), files[i].string()); });
      }
    }
    bar_.wipe();
    if (stop_.raised()) {
      console_.err << fmt::format("lowrank predict: interrupted after {}.\n",
                                  counted(classified_, "sequence"));
      return kInterrupted;
    }
    return failed_ ? kFailed : kDone;
  }

 private:
  void complain(const std::string& sentence) {
    bar_.print("lowrank predict: " + sentence);
    failed_ = true;
  }

  // An array that cannot be read is named; the others are still done.
  template <class Action>
  void naming_errors(const Action& action) {
    try {
      action();
    } catch (const Error& error) {
      complain(error.what());
    }
  }

  void classify(const at::Tensor& array, const std::string& file) {
    const std::vector<at::Tensor> sequences = serve::sequences_of(model_, array, file);
    const bool alone = array.dim() == 2;
    std::vector<std::string> sources;
    std::vector<Prediction> predictions;
    for (size_t i = 0; i < sequences.size() && !stop_.raised(); ++i) {
      const at::Tensor logits = serve::run(model_, sequences[i]);
      sources.push_back(alone ? file : fmt::format("{}[{}]", file, i));
      predictions.push_back(of_classes(classes_, probabilities_of(logits), flags_.top));
      const double within = static_cast<double>(i + 1) / static_cast<double>(sequences.size());
      bar_.update(done_ + share_ * within, counted(++classified_, "sequence"));
    }
    bar_.wipe();  // what follows may go to the same terminal
    print(sources, predictions, flags_.json, console_.out);
  }

  const serve::ArrayModel& model_;
  const PredictFlags& flags_;
  const Console& console_;
  const StopSignal stop_;
  ProgressBar bar_;
  const std::vector<std::string> classes_;
  double done_ = 0, share_ = 1;  // of all files: those before, this one
  int64_t classified_ = 0;
  bool failed_ = false;
};

}  // namespace

int predict_arrays(const PredictFlags& flags, const fs::path& folder, const Console& console) {
  const PredictFlags standard;
  std::vector<TextFlag> given = text_flags(flags.texts, flags.inference, standard.inference);
  given.push_back({"--question", !flags.question.empty()});
  given.push_back({"--no-answer-threshold", flags.no_answer_threshold.has_value()});
  refuse(given, folder);
  const serve::ArrayModel model =
      serve::load_array_model(folder, flags.inference.device, flags.inference.dtype);
  require_command(model, "predict");
  return ArrayPredictor(model, flags, console).run();
}

int embed_array(const EmbedFlags& flags, const fs::path& folder, const Console& console) {
  const EmbedFlags standard;
  std::vector<TextFlag> given = text_flags(flags.texts, flags.inference, standard.inference);
  given.push_back({"--pooling", !flags.pooling.empty()});
  given.push_back({"--no-normalize", flags.no_normalize});
  refuse(given, folder);
  const serve::ArrayModel model =
      serve::load_array_model(folder, flags.inference.device, flags.inference.dtype);
  require_command(model, "embed");
  if (flags.output.empty() || (!flags.format.empty() && flags.format != "npy")) {
    throw Misuse(fmt::format("{} makes an array of an array. Name a .npy file with --output.",
                             folder.string()));
  }
  if (flags.texts.inputs.size() > 1) {
    throw Misuse(fmt::format("{} arrays are named, and one --output. Embed them one by one.",
                             flags.texts.inputs.size()));
  }
  const bool piped = flags.texts.inputs.empty();
  const std::string source = piped ? "stdin" : flags.texts.inputs[0];
  const at::Tensor array = piped ? read_array(model, console.in) : read_array(model, source);
  const std::vector<at::Tensor> sequences = serve::sequences_of(model, array, source);
  const StopSignal stop;
  ProgressBar bar(console);
  std::vector<at::Tensor> results;
  for (const at::Tensor& sequence : sequences) {
    results.push_back(serve::run(model, sequence));
    bar.update(static_cast<double>(results.size()) / static_cast<double>(sequences.size()),
               counted(std::ssize(results), "sequence"));
    if (!stop.raised()) continue;
    bar.wipe();
    console.err << fmt::format("lowrank embed: interrupted after {}; {} is as it was.\n",
                               counted(std::ssize(results), "sequence"), flags.output);
    return kInterrupted;
  }
  const bool one = sequences.size() == 1 && sequences[0].dim() == array.dim();
  io::save_npy(flags.output, one ? results[0] : at::stack(results));
  return kDone;
}

}  // namespace lowrank::cli
