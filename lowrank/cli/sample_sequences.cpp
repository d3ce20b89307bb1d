// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/sample_sequences.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "lowrank/cli/misuse.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/text_flags.h"
#include "lowrank/cli/validators.h"
#include "lowrank/models/derive.h"
#include "lowrank/train/trainer.h"

namespace lowrank::cli {
namespace {

struct Enough {};  // thrown out of reading

// Gathers the windows of each length as texts come.
class Sampler {
 public:
  Sampler(const serve::TextModel& model, const SampleFlags& flags,
          const std::vector<int64_t>& lengths)
      : model_(model), flags_(flags), special_tokens_(reads_special_tokens(model)) {
    for (const int64_t length : lengths) samples_.push_back({length, {}});
  }

  void take(const serve::TextInput& input) {
    if (is_enough()) throw Enough();
    bool is_short = false;
    for (Samples& samples : samples_) is_short |= !add_windows(input, samples);
    too_short_ += is_short ? 1 : 0;
  }

  int64_t too_short() const { return too_short_; }
  std::vector<Samples>& samples() { return samples_; }

 private:
  bool is_full(const Samples& samples) const {
    return std::ssize(samples.sequences) >= flags_.documents;
  }

  bool is_enough() const {
    return std::all_of(samples_.begin(), samples_.end(),
                       [this](const Samples& samples) { return is_full(samples); });
  }

  // False where the text has not as many tokens as a sequence.
  bool add_windows(const serve::TextInput& input, Samples& samples) const {
    std::vector<text::Encoded> windows =
        text::encode_windows(*model_.tokenizer, input.text, input.pair,
                             {.special_tokens = special_tokens_, .max_length = samples.length});
    std::erase_if(windows, [&](const text::Encoded& window) {
      return std::ssize(window.ids) != samples.length;
    });
    const int64_t found = std::ssize(windows), wanted = std::min(flags_.per_text, found);
    for (int64_t i = 0; i < wanted && !is_full(samples); ++i) {
      const auto middle = static_cast<size_t>((2 * i + 1) * found / (2 * wanted));
      samples.sequences.push_back(inputs_of(windows[middle], model_));
    }
    return found > 0;
  }

  const serve::TextModel& model_;
  const SampleFlags& flags_;
  const bool special_tokens_;
  std::vector<Samples> samples_;
  int64_t too_short_ = 0;
};

}  // namespace

void add(CLI::App& app, SampleFlags& flags) {
  app.add_option("MODEL", flags.model, "folder of a run or of a model")->required()->type_name("");
  add(app, flags.texts);
  app.add_option("--documents", flags.documents, "sequences that are measured, at most")
      ->check(whole_number(1, 1'000'000))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--per-text", flags.per_text,
                 "of a text, from its middle; texts with less than n tokens are left out")
      ->check(whole_number(1, 1'000'000))
      ->type_name("")
      ->capture_default_str();
  app.add_flag("--tile", flags.tile,
               "repeats the model's positions where n is beyond them; it was not made for that");
  app.add_option("--seed", flags.seed, "of what is drawn")->type_name("")->capture_default_str();
  add_device(app, flags.device, flags.dtype);
  app.add_flag("--json", flags.json, "prints JSON");
}

bool reads_special_tokens(const serve::TextModel& model) {
  return train::recipe_of(model.folder, model.model->config()).recipe.train.special_tokens;
}

models::Inputs inputs_of(const text::Encoded& encoded, const serve::TextModel& model) {
  const at::Device device = model.model->parameters().front().device();
  return {at::tensor(encoded.ids, at::kLong).to(device),
          at::tensor({int64_t{0}, std::ssize(encoded.ids)}, at::kLong),
          at::tensor(encoded.segments, at::kLong).to(device)};
}

serve::TextModel load(const SampleFlags& flags, int64_t longest) {
  serve::TextModel model = serve::load_text_model(flags.model, flags.device, flags.dtype);
  if (flags.tile && longest > model.max_length) {
    model.model = models::with_positions(*model.model, longest, models::PositionRule::kTile);
    model.max_length = models::longest_sequence(model.model->config());
  }
  if (longest > model.max_length) {
    throw Error(fmt::format("--n = {}; the model takes at most {} tokens. Lower it, or use --tile.",
                            longest, model.max_length));
  }
  return model;
}

std::vector<Samples> sample(const serve::TextModel& model, const SampleFlags& flags,
                            const std::vector<int64_t>& lengths, const Console& console) {
  std::vector<std::string> complaints;
  const auto complain = [&](const std::string& sentence) { complaints.push_back(sentence); };
  Sampler sampler(model, flags, lengths);
  const TextSource source(flags.texts, console, complain);
  try {
    source.read([&](const serve::TextInput& input) { sampler.take(input); });
  } catch (const Enough&) {
  }
  if (!complaints.empty()) throw Error(complaints.front());
  for (const Samples& samples : sampler.samples()) {
    if (!samples.sequences.empty()) continue;
    throw Error(fmt::format("--n = {}; no text has as many tokens. Give longer texts, or lower it.",
                            samples.length));
  }
  if (sampler.too_short() > 0) {
    console.err << fmt::format("note: left out {} shorter than n\n",
                               counted(sampler.too_short(), "text"));
  }
  return sampler.samples();
}

void require_folder(const char* flag, const std::string& file) {
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  if (file.empty() || folder.empty() || std::filesystem::is_directory(folder)) return;
  throw Misuse(fmt::format("{} = {}; the folder {} does not exist. Make it first.", flag, file,
                           folder.string()));
}

}  // namespace lowrank::cli
