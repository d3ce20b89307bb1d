// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <xxhash.h>

#include <algorithm>
#include <limits>

#include "lowrank/base/file.h"
#include "lowrank/models/model_directory.h"
#include "lowrank/text/tokenizer_files.h"
#include "lowrank/train/inputs.h"

namespace lowrank::train {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr double kLargest = std::numeric_limits<double>::max();
constexpr const char* kOptimizerFile = "optimizer.safetensors";
constexpr const char* kStateFile = "state.json";

// Dropout draws from the generator of the model's device; all else from the CPU's.
std::vector<std::pair<std::string, at::Generator>> generators(at::Device device) {
  std::vector<std::pair<std::string, at::Generator>> all;
  all.emplace_back("generator.cpu", at::globalContext().defaultGenerator(at::kCPU));
  if (!device.is_cpu()) {
    all.emplace_back("generator.device", at::globalContext().defaultGenerator(device));
  }
  return all;
}

void save_model_files(const std::filesystem::path& folder, const models::Model& model,
                      const Recipe& recipe) {
  models::save_model(model, folder);
  save_recipe(recipe, folder);
  const bool has_files = model.config().tokenizer == "files";
  if (has_files) text::copy_tokenizer_files(recipe.model.tokenizer, folder);
}

}  // namespace

void describe(ConfigFields& fields, RunState& state) {
  fields.number("step", state.step, 0, kMost);
  fields.number("epoch", state.sampler.epoch, 0, kMost);
  fields.number("batch", state.sampler.batch, 0, kMost);
  fields.number("tokens", state.tokens, 0, kMost);
  fields.number("seconds", state.seconds, 0, kLargest);
  fields.number("evaluated_step", state.evaluated_step, -1, kMost);
  fields.number("evaluated_epochs", state.evaluated_epochs, 0, kMost);
  fields.number("best", state.best, -kLargest, kLargest);
  fields.number("best_loss", state.best_loss, -kLargest, kLargest);
  fields.number("evaluations_since_best", state.evaluations_since_best, 0, kMost);
  fields.number("loss_sum", state.loss_sum, -kLargest, kLargest);
  fields.number("loss_steps", state.loss_steps, 0, kMost);
  fields.number("learning_rate", state.learning_rate, 0, kLargest);
  fields.number("gradient_norm", state.gradient_norm, 0, kLargest);
  fields.text("data", state.data);
}

void save_trained(const std::filesystem::path& folder, const models::Model& model,
                  const Recipe& recipe) {
  AtomicDirectory directory(folder);
  save_model_files(directory.path(), model, recipe);
  directory.commit();
}

void save_checkpoint(const std::filesystem::path& folder, const models::Model& model,
                     const Recipe& recipe, const AdamW& optimizer, const RunState& state) {
  AtomicDirectory directory(folder);
  save_model_files(directory.path(), model, recipe);
  io::NamedTensors tensors = optimizer.state();
  for (const auto& [name, generator] : generators(device_of(model))) {
    tensors.emplace_back(name, generator.get_state());
  }
  io::save_safetensors(directory.path() / kOptimizerFile, tensors);
  const Json json =
      write_config([copy = state](ConfigFields& fields) mutable { describe(fields, copy); });
  replace_file(directory.path() / kStateFile, json.dump(2) + "\n");
  directory.commit();
}

RunState load_checkpoint(const std::filesystem::path& folder, const models::Model& model,
                         AdamW& optimizer) {
  const std::filesystem::path state_file = folder / kStateFile;
  RunState state;
  read_config(parse_json(read_file(state_file), state_file.string()), state_file.string(),
              [&](ConfigFields& fields) { describe(fields, state); });

  const std::filesystem::path optimizer_file = folder / kOptimizerFile;
  const io::NamedTensors tensors = io::load_safetensors(optimizer_file);
  optimizer.load_state(tensors, optimizer_file.string());
  for (auto& [name, generator] : generators(device_of(model))) {
    const auto saved = std::find_if(tensors.begin(), tensors.end(),
                                    [&](const auto& tensor) { return tensor.first == name; });
    if (saved == tensors.end()) {
      throw Error(
          fmt::format("{}: tensor \"{}\" is missing; the run was on another kind of device. "
                      "Resume on the device that it was started on.",
                      optimizer_file.string(), name));
    }
    generator.set_state(saved->second);
  }
  return state;
}

std::string fingerprint(const data::Dataset& dataset) {
  XXH64_hash_t hash = 0;
  for (const data::Example& example : dataset.examples) {
    hash = XXH3_64bits_withSeed(example.text.data(), example.text.size(), hash);
    hash = XXH3_64bits_withSeed(example.pair.data(), example.pair.size(), hash);
    hash = XXH3_64bits_withSeed(&example.label, sizeof example.label, hash);
    if (dataset.label_kind == data::LabelKind::kNumber) {
      hash = XXH3_64bits_withSeed(&example.number, sizeof example.number, hash);
    }
    for (const data::Word& word : example.words) {
      hash = XXH3_64bits_withSeed(&word, sizeof word, hash);
    }
  }
  return fmt::format("{:016x}", hash);
}

}  // namespace lowrank::train
