// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/foreign.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <map>
#include <set>
#include <vector>

#include "lowrank/base/file.h"
#include "lowrank/models/file_format.h"
#include "lowrank/models/native_checkpoint.h"

namespace lowrank::models {
namespace {

constexpr const char* kFormat = "lowrank-foreign";
constexpr int64_t kVersion = 1;
constexpr int64_t kMost = 1'000'000'000;  // of any size
constexpr int64_t kMostWidth = 65536;
constexpr int64_t kMostLayers = 1024;

[[noreturn]] void fail(const std::string& where, const std::string& message) {
  throw Error(where + ": " + message);
}

void describe_options(ConfigFields& fields, lucidrains::Options& options) {
  fields.number("width", options.width, 1, kMostWidth);
  fields.number("layers", options.layers, 0, kMostLayers);
  fields.number("heads", options.heads, 1, kMostWidth);
  fields.number("head_size", options.head_size, 1, kMostWidth);
  fields.number("landmarks", options.landmarks, 1, kMostWidth);
  fields.number("inverse_steps", options.inverse_steps, 1, 32);
  fields.number("conv", options.conv, 0, 65535);
}

void describe_options(ConfigFields& fields, linformer::Options& options) {
  fields.number("vocabulary", options.vocabulary, 0, kMost);
  fields.number("width", options.width, 1, kMostWidth);
  fields.number("layers", options.layers, 0, kMostLayers);
  fields.number("heads", options.heads, 1, kMostWidth);
  fields.number("head_size", options.head_size, 1, kMostWidth);
  fields.number("max_length", options.max_length, 1, kMost);
  fields.number("projected", options.projected, 1, kMost);
  fields.flag("one_kv_head", options.one_kv_head);
  fields.flag("share_kv", options.share_kv);
  fields.flag("reversible", options.reversible);
}

void describe_options(ConfigFields& fields, linformer_pytorch::Options& options) {
  using linformer_pytorch::Method;
  fields.number("vocabulary", options.vocabulary, 0, kMost);
  fields.number("embedding", options.embedding, 0, kMostWidth);
  fields.number("width", options.width, 1, kMostWidth);
  fields.number("layers", options.layers, 0, kMostLayers);
  fields.number("heads", options.heads, 1, kMostWidth);
  fields.number("head_size", options.head_size, 1, kMostWidth);
  fields.number("max_length", options.max_length, 1, kMost);
  fields.number("projected", options.projected, 1, kMost);
  fields.number("projected_step", options.projected_step, 0, kMost);
  fields.number("feed_forward", options.feed_forward, 0, kMost);
  fields.choice("activation", options.activation, {{"gelu", "gelu"}, {"relu", "relu"}});
  fields.choice("sharing", options.sharing,
                {{"none", LinformerSharing::kNone},
                 {"headwise", LinformerSharing::kHeadwise},
                 {"kv", LinformerSharing::kKeyValue},
                 {"layerwise", LinformerSharing::kLayerwise}});
  fields.choice("method", options.method,
                {{"learnable", Method::kLearnable},
                 {"convolution", Method::kConvolution},
                 {"no_params", Method::kNoParameters}});
  fields.number("output_rank", options.output_rank, 0, kMostWidth);
  fields.flag("causal", options.causal);
  fields.flag("full_attention", options.full_attention);
}

void describe_options(ConfigFields& fields, fairseq::Options& options) {
  fields.number("width", options.width, 1, kMostWidth);
  fields.number("heads", options.heads, 1, kMostWidth);
  fields.number("max_length", options.max_length, 1, kMost);
  fields.number("projected", options.projected, 1, kMost);
  fields.flag("shared_kv", options.shared_kv);
  fields.flag("shared_layer", options.shared_layer);
}

void describe_options(ConfigFields& fields, transmil::Options& options) {
  fields.number("features", options.features, 1, kMost);
  fields.number("width", options.width, 1, kMostWidth);
  fields.number("classes", options.classes, 1, kMost);
}

// One of each package, in the order of ForeignOptions.
ForeignOptions options_of(Profile profile) {
  switch (profile) {
    case Profile::kLinformer:
      return linformer::Options{};
    case Profile::kLinformerPytorch:
      return linformer_pytorch::Options{};
    case Profile::kFairseq:
      return fairseq::Options{};
    case Profile::kTransmil:
      return transmil::Options{};
    default:
      return lucidrains::Options{};
  }
}

void check_divides(const std::string& where, const char* name, int64_t divisor, int64_t width) {
  if (width % divisor == 0) return;
  fail(where, fmt::format("{} = {} does not divide width = {}. Set it to a divisor.", name, divisor,
                          width));
}

void check_projected(const std::string& where, int64_t projected, int64_t max_length) {
  if (projected <= max_length) return;
  fail(where,
       fmt::format("projected = {} exceeds max_length = {}. Lower it.", projected, max_length));
}

void check_options(const lucidrains::Options& options, const std::string& where) {
  if (options.conv == 0 || options.conv % 2 == 1) return;
  fail(where, fmt::format("conv = {}; it must be odd, or 0 for none. Use {}.", options.conv,
                          options.conv + 1));
}

void check_options(const linformer::Options& options, const std::string& where) {
  check_projected(where, options.projected, options.max_length);
}

void check_options(const linformer_pytorch::Options& options, const std::string& where) {
  check_projected(where, options.projected, options.max_length);
}

void check_options(const fairseq::Options& options, const std::string& where) {
  check_divides(where, "heads", options.heads, options.width);
  check_projected(where, options.projected, options.max_length);
}

void check_options(const transmil::Options& options, const std::string& where) {
  check_divides(where, "8 heads", 8, options.width);
}

ForeignSignature signature(const lucidrains::Options& options) {
  return {.width = options.width, .outputs = options.width};
}

ForeignSignature signature(const linformer::Options& options) {
  const bool words = options.vocabulary > 0;
  return {.width = words ? 0 : options.width,
          .vocabulary = options.vocabulary,
          .longest = options.max_length,
          .outputs = words ? options.vocabulary : options.width};
}

ForeignSignature signature(const linformer_pytorch::Options& options) {
  const bool words = options.vocabulary > 0;
  return {.width = words ? 0 : options.width,
          .vocabulary = options.vocabulary,
          .shortest = options.max_length,
          .longest = options.max_length,
          .outputs = words ? options.vocabulary : options.width};
}

ForeignSignature signature(const fairseq::Options& options) {
  return {.width = options.width, .longest = options.max_length, .outputs = options.width};
}

ForeignSignature signature(const transmil::Options& options) {
  return {.width = options.features, .classifies = true, .outputs = options.classes};
}

std::shared_ptr<ForeignModule> make_module(const fairseq::Options& options) {
  return std::make_shared<fairseq::MultiheadLinearAttention>(options);
}

std::shared_ptr<ForeignModule> make_module(const transmil::Options& options) {
  return std::make_shared<transmil::TransMil>(options);
}

// A tensor of a module and every name that it has there.
struct Slot {
  at::Tensor tensor;
  std::vector<std::string> names;
};

std::vector<Slot> slots_of(const torch::nn::Module& module) {
  std::vector<Slot> slots;
  std::map<const void*, size_t> places;
  const auto add = [&](const auto& named) {
    for (const auto& entry : named) {
      const auto [place, is_new] =
          places.try_emplace(entry.value().unsafeGetTensorImpl(), slots.size());
      if (is_new) slots.push_back({entry.value(), {}});
      slots[place->second].names.push_back(entry.key());
    }
  };
  add(module.named_parameters());
  add(module.named_buffers());
  return slots;
}

using TensorMap = std::map<std::string, at::Tensor>;

// One line for each tensor that keeps `tensors` from being the module's state_dict.
std::vector<std::string> differences(const std::vector<Slot>& slots, const TensorMap& tensors) {
  std::vector<std::string> lines;
  std::set<std::string> known;
  for (const Slot& slot : slots) {
    const at::Tensor* first = nullptr;
    for (const std::string& name : slot.names) {
      known.insert(name);
      const auto found = tensors.find(name);
      if (found == tensors.end()) continue;
      const at::Tensor& tensor = found->second;
      if (tensor.sizes() != slot.tensor.sizes() ||
          tensor.scalar_type() != slot.tensor.scalar_type()) {
        lines.push_back(
            fmt::format("\"{}\" is {} instead of {}", name, shown(tensor), shown(slot.tensor)));
      } else if (first && !is_same(*first, tensor)) {
        lines.push_back(fmt::format("\"{}\" differs from \"{}\", of which it is another name", name,
                                    slot.names.front()));
      }
      first = &tensor;
    }
    if (!first) lines.push_back(fmt::format("\"{}\" is missing", slot.names.front()));
  }
  for (const auto& [name, tensor] : tensors) {
    if (known.count(name) == 0) lines.push_back(fmt::format("\"{}\" is extra", name));
  }
  return lines;
}

}  // namespace

Profile profile_of(const ForeignOptions& options) {
  constexpr Profile kProfiles[] = {Profile::kLucidrains, Profile::kLinformer,
                                   Profile::kLinformerPytorch, Profile::kFairseq,
                                   Profile::kTransmil};
  return kProfiles[options.index()];
}

ForeignSignature signature_of(const ForeignOptions& options) {
  return std::visit([](const auto& of_package) { return signature(of_package); }, options);
}

void describe(ConfigFields& fields, ForeignOptions& options) {
  const Profile before = profile_of(options);
  Profile profile = before;
  std::vector<std::pair<std::string, Profile>> names;
  for (const auto& [name, known] : profile_names()) {
    if (profile_of(options_of(known)) == known) names.emplace_back(name, known);
  }
  fields.required("profile");
  fields.choice("profile", profile, names);
  if (profile != before) options = options_of(profile);
  std::visit([&](auto& of_package) { describe_options(fields, of_package); }, options);
}

void check(const ForeignOptions& options, const std::string& where) {
  ForeignOptions in_range = options;
  const Describe described = [&](ConfigFields& fields) { describe(fields, in_range); };
  read_config(write_config(described), where, described);
  std::visit([&](const auto& of_package) { check_options(of_package, where); }, options);
}

ForeignModel make_foreign(const ForeignOptions& options) {
  check(options, "ForeignOptions");
  return {options,
          std::visit([](const auto& of_package) { return make_module(of_package); }, options)};
}

void load_tensors(torch::nn::Module& module, const io::NamedTensors& tensors,
                  const std::string& where) {
  const TensorMap by_name(tensors.begin(), tensors.end());
  for (const auto& [name, tensor] : tensors) {
    if (!tensor.is_floating_point()) continue;
    module.to(tensor.scalar_type());
    break;
  }
  const std::vector<Slot> slots = slots_of(module);
  const std::vector<std::string> lines = differences(slots, by_name);
  if (!lines.empty()) {
    fail(where, fmt::format("{} of its tensors do not fit the model's options: {}. Name the "
                            "options that it was made with.",
                            lines.size(), fmt::join(lines, "; ")));
  }
  const at::NoGradGuard no_grad;
  for (const Slot& slot : slots) {
    for (const std::string& name : slot.names) {
      const auto found = by_name.find(name);
      if (found == by_name.end()) continue;
      slot.tensor.copy_(found->second);
      break;
    }
  }
}

void save_foreign(const ForeignModel& model, const std::filesystem::path& folder) {
  ForeignOptions options = model.options;
  const Json json = write_config([&](ConfigFields& fields) {
    describe_file(fields, kFormat, kVersion,
                  [&](ConfigFields& inner) { describe(inner, options); });
  });
  replace_file(folder / "config.json", json.dump(2) + "\n");
  io::NamedTensors tensors;
  for (const Slot& slot : slots_of(*model.module)) {
    tensors.emplace_back(slot.names.front(), slot.tensor.detach());
  }
  io::save_safetensors(folder / "model.safetensors", tensors, {{"format", kFormat}});
}

ForeignModel load_foreign(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  ForeignOptions options;
  read_config(parse_json(read_file(path), path.string()), path.string(), [&](ConfigFields& fields) {
    describe_file(fields, kFormat, kVersion,
                  [&](ConfigFields& inner) { describe(inner, options); });
  });
  check(options, path.string());
  ForeignModel model = make_foreign(options);
  const std::filesystem::path weights = folder / "model.safetensors";
  load_tensors(*model.module, io::load_safetensors(weights), weights.string());
  model.module->eval();
  return model;
}

bool is_foreign(const Json& config) {
  const auto format = config.is_object() ? config.find("format") : config.end();
  return format != config.end() && *format == kFormat;
}

bool is_foreign_folder(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / "config.json";
  return is_foreign(parse_json(read_file(path), path.string()));
}

}  // namespace lowrank::models
