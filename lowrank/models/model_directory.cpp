// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/model_directory.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "lowrank/base/file.h"
#include "lowrank/models/file_format.h"
#include "lowrank/models/foreign.h"
#include "lowrank/models/hugging_face.h"

namespace lowrank::models {
namespace {

constexpr const char* kFormat = "lowrank-model";
constexpr int64_t kVersion = 1;

// One line for each tensor that keeps `tensors` from being the model's parameters.
std::vector<std::string> differences(const Model& model,
                                     const std::map<std::string, at::Tensor>& tensors) {
  std::vector<std::string> lines;
  const auto parameters = model.named_parameters();
  for (const auto& parameter : parameters) {
    const auto found = tensors.find(parameter.key());
    if (found == tensors.end()) {
      lines.push_back(fmt::format("\"{}\" is missing", parameter.key()));
    } else if (found->second.sizes() != parameter->sizes() ||
               found->second.scalar_type() != parameter->scalar_type()) {
      lines.push_back(fmt::format("\"{}\" is {} instead of {}", parameter.key(),
                                  shown(found->second), shown(*parameter)));
    }
  }
  for (const auto& [name, tensor] : tensors) {
    if (!parameters.contains(name)) lines.push_back(fmt::format("\"{}\" is extra", name));
  }
  return lines;
}

}  // namespace

void save_model(const Model& model, const std::filesystem::path& folder) {
  ModelConfig config = model.config();
  const Json json = write_config([&](ConfigFields& fields) {
    describe_file(fields, kFormat, kVersion, [&](ConfigFields& inner) { describe(inner, config); });
  });
  replace_file(folder / "config.json", json.dump(2) + "\n");
  io::NamedTensors tensors;
  for (const auto& parameter : model.named_parameters()) {
    tensors.emplace_back(parameter.key(), parameter.value().detach());
  }
  io::save_safetensors(folder / "model.safetensors", tensors, {{"format", kFormat}});
}

void set_parameters(Model& model, const io::NamedTensors& stored, const std::string& where) {
  const std::map<std::string, at::Tensor> tensors(stored.begin(), stored.end());
  if (!stored.empty() && stored.front().second.is_floating_point()) {
    model.to(stored.front().second.scalar_type());
  }
  const std::vector<std::string> lines = differences(model, tensors);
  if (!lines.empty()) {
    throw Error(
        fmt::format("{}: {} of its tensors do not fit config.json: {}. Use both files of one "
                    "saved model.",
                    where, lines.size(), fmt::join(lines, "; ")));
  }
  const at::NoGradGuard no_grad;
  for (auto& parameter : model.named_parameters()) parameter->copy_(tensors.at(parameter.key()));
  model.eval();
}

std::shared_ptr<Model> load_model(const std::filesystem::path& folder) {
  const std::filesystem::path config_path = folder / "config.json";
  const Json json = parse_json(read_file(config_path), config_path.string());
  if (is_hugging_face(json)) return load_hugging_face(folder).model;
  if (is_foreign(json)) {
    throw Error(fmt::format(
        "{}: this is a module of another package, which reads arrays, not an encoder of texts. "
        "Use \"lowrank predict\" or \"lowrank embed\" with it.",
        folder.string()));
  }
  ModelConfig config;
  read_config(json, config_path.string(), [&](ConfigFields& fields) {
    describe_file(fields, kFormat, kVersion, [&](ConfigFields& inner) { describe(inner, config); });
  });
  check(config, config_path.string());
  const std::filesystem::path weights_path = folder / "model.safetensors";
  const auto model = std::make_shared<Model>(config);
  set_parameters(*model, io::load_safetensors(weights_path), weights_path.string());
  return model;
}

std::optional<std::filesystem::path> search_model(const std::filesystem::path& folder) {
  for (const std::filesystem::path& candidate : {folder / "best", folder / "last", folder}) {
    restore_directory(candidate);
    if (std::filesystem::exists(candidate / "config.json")) return candidate;
  }
  return std::nullopt;
}

std::filesystem::path find_model(const std::filesystem::path& folder) {
  const std::optional<std::filesystem::path> found = search_model(folder);
  if (found) return *found;
  throw Error(fmt::format(
      "{}: there is no model in it: no config.json, neither there nor in best/ or last/. "
      "Give the folder of a run or of a model.",
      folder.string()));
}

}  // namespace lowrank::models
