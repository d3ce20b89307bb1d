// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/distill_checkpoint.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <xxhash.h>

#include <limits>

#include "lowrank/base/file.h"

namespace lowrank::train {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr double kLargest = std::numeric_limits<double>::max();
constexpr const char* kStateFile = "distill.json";
constexpr const char* kOptimizerFile = "optimizer.safetensors";

// What must be as it was when the run began. Keys are the flags' names.
struct Setting {
  DistillOptions options;
  std::string texts, teacher;  // fingerprints
};

void describe(ConfigFields& fields, Setting& setting) {
  DistillOptions& options = setting.options;
  fields.number("minutes", options.minutes, 0, kLargest);
  fields.number("steps", options.steps, 0, kMost);
  fields.number("length", options.length, 0, kMost);
  fields.number("sequences", options.sequences, 0, kMost);
  fields.number("learning_rate", options.learning_rate, 0, kLargest);
  fields.number("target", options.target, -kLargest, kLargest);
  fields.number("evaluations", options.evaluations, 0, kMost);
  fields.choice("precision", options.precision,
                {{"float32", Precision::kFloat32}, {"bfloat16", Precision::kBfloat16}});
  auto seed = static_cast<int64_t>(options.seed);
  fields.number("seed", seed, std::numeric_limits<int64_t>::min(), kMost);
  options.seed = static_cast<uint64_t>(seed);
  fields.text("texts", setting.texts);
  fields.text("teacher", setting.teacher);
}

void describe(ConfigFields& fields, std::vector<double>& numbers, const char* key) {
  Json list = numbers;
  fields.json(key, list);
  if (!fields.reading()) return;
  if (!list.is_array()) throw Error(fields.place() + ": " + key + " must be a list of numbers.");
  numbers.clear();
  for (const Json& number : list) {
    if (!number.is_number()) throw Error(fields.place() + ": " + key + " must hold numbers alone.");
    numbers.push_back(number.get<double>());
  }
}

void describe(ConfigFields& fields, models::Closeness& closeness) {
  fields.number("sequences", closeness.sequences, 0, kMost);
  fields.number("mean_cosine", closeness.mean_cosine, -kLargest, kLargest);
  fields.number("least_cosine", closeness.least_cosine, -kLargest, kLargest);
  describe(fields, closeness.state_errors, "state_errors");
}

void describe(ConfigFields& fields, Setting& setting, DistillState& state) {
  fields.required("setting");
  fields.object("setting", [&](ConfigFields& inner) { describe(inner, setting); });
  fields.number("steps", state.steps, 0, kMost);
  fields.number("tokens", state.tokens, 0, kMost);
  fields.number("seconds", state.seconds, 0, kLargest);
  fields.number("passes", state.passes, 0, kMost);
  fields.number("taken", state.taken, 0, kMost);
  fields.number("evaluated", state.evaluated, 0, kMost);
  fields.number("worse", state.worse, 0, kMost);
  fields.number("best", state.best, -kLargest, kLargest);
  fields.number("cosine", state.cosine, -kLargest, kLargest);
  fields.object("before", [&](ConfigFields& inner) { describe(inner, state.before); });
}

std::string hexadecimal(XXH64_hash_t hash) { return fmt::format("{:016x}", hash); }

std::string fingerprint(const DistillData& data) {
  XXH64_hash_t hash = 0;
  for (const auto* sequences : {&data.training, &data.held_out}) {
    for (const std::vector<int64_t>& ids : *sequences) {
      hash = XXH3_64bits_withSeed(ids.data(), ids.size() * sizeof ids[0], hash);
    }
  }
  return hexadecimal(hash);
}

std::string fingerprint(const models::Model& model) {
  XXH64_hash_t hash = 0;
  for (const auto& parameter : model.named_parameters()) {
    const at::Tensor values = parameter.value().detach().cpu().contiguous();
    hash = XXH3_64bits_withSeed(values.const_data_ptr(), values.nbytes(), hash);
  }
  return hexadecimal(hash);
}

Setting setting_of(const DistillOptions& options, const DistillData& data,
                   const models::Model& teacher) {
  return {options, fingerprint(data), fingerprint(teacher)};
}

Json json_of(Setting setting) {
  return write_config([&](ConfigFields& fields) { describe(fields, setting); });
}

}  // namespace

void save_distillation(const std::filesystem::path& folder, const DistillOptions& options,
                       const DistillData& data, const models::Model& teacher,
                       const DistillState& state) {
  Setting setting = setting_of(options, data, teacher);
  DistillState copy = state;
  const Json json = write_config([&](ConfigFields& fields) { describe(fields, setting, copy); });
  replace_file(folder / kStateFile, json.dump(2) + "\n");
  io::save_safetensors(folder / kOptimizerFile, state.optimizer);
}

DistillState load_distillation(const std::filesystem::path& folder, const DistillOptions& options,
                               const DistillData& data, const models::Model& teacher) {
  const std::filesystem::path path = folder / kStateFile;
  if (!std::filesystem::exists(path)) {
    throw Error(fmt::format(
        "{}: there is no {} in it: no distillation was interrupted there. Begin a new one.",
        folder.string(), kStateFile));
  }
  Setting began;
  DistillState state;
  read_config(parse_json(read_file(path), path.string()), path.string(),
              [&](ConfigFields& fields) { describe(fields, began, state); });
  const Json before = json_of(began), now = json_of(setting_of(options, data, teacher));
  for (const auto& [key, value] : before.items()) {
    if (now[key] == value) continue;
    throw Error(fmt::format(
        "{}: {} = {}, and now it is {}; a run goes on as it began. Repeat what it began "
        "with.",
        path.string(), key, value.dump(), now[key].dump()));
  }
  state.optimizer = io::load_safetensors(folder / kOptimizerFile);
  return state;
}

}  // namespace lowrank::train
