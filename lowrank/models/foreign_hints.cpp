// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/foreign_hints.h"

#include <fmt/format.h>

namespace lowrank::models {
namespace {

// Keys of mlpen's table "model", by their names there. 0 and "" stand for absent.
struct MlpenConfig {
  int64_t num_head = 0, num_layers = 0, num_landmarks = 0, seq_len = 0, max_seq_len = 0;
  std::string attn_type;
};

void describe(ConfigFields& fields, MlpenConfig& config) {
  constexpr int64_t kMost = 1'000'000'000;
  fields.number("num_head", config.num_head, 1, 65536);
  fields.number("num_layers", config.num_layers, 1, 1024);
  fields.number("num_landmarks", config.num_landmarks, 1, kMost);
  fields.number("seq_len", config.seq_len, 1, kMost);
  fields.number("max_seq_len", config.max_seq_len, 1, kMost);
  fields.text("attn_type", config.attn_type);
}

std::optional<int64_t> if_there(int64_t value) {
  return value > 0 ? std::optional(value) : std::nullopt;
}

}  // namespace

ForeignHints read_mlpen_config(const Json& json, const std::string& where) {
  if (!json.is_object() || !json.contains("model") || !json.at("model").is_object()) {
    throw Error(where + ": \"model\" is missing; mlpen's config.json has such a table. Add it.");
  }
  MlpenConfig config;
  Json known = write_config([&](ConfigFields& fields) { describe(fields, config); });
  for (auto it = known.begin(); it != known.end();) {
    const auto found = json.at("model").find(it.key());
    if (found == json.at("model").end()) {
      it = known.erase(it);
    } else {
      *it++ = *found;
    }
  }
  read_config(known, where, [&](ConfigFields& fields) { describe(fields, config); });
  ForeignHints hints;
  hints.heads = if_there(config.num_head);
  hints.layers = if_there(config.num_layers);
  hints.landmarks = if_there(config.num_landmarks);
  // The benchmark's attention takes max_seq_len for it.
  hints.segment_length = if_there(config.seq_len > 0 ? config.seq_len : config.max_seq_len);
  // "nystrom-64", "linformer-256" in the benchmark.
  const std::string kind = config.attn_type.substr(0, config.attn_type.find('-'));
  if (!kind.empty()) hints.attention = kind;
  // Both names of this option are needed there to turn it on.
  const Json& model = json.at("model");
  hints.per_matrix_start = model.contains("inv_coeff_init_option") &&
                           model.contains("inv_init_coeff_option") &&
                           model.at("inv_init_coeff_option") != "original";
  return hints;
}

int64_t required(const std::optional<int64_t>& hint, const char* name, const std::string& what,
                 const std::string& where) {
  if (hint) return *hint;
  throw Error(fmt::format("{}: {} is not to be seen in the tensors of {}. Pass {}.", where, name,
                          what, name));
}

}  // namespace lowrank::models
