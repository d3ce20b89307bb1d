// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/fairseq.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <set>

namespace lowrank::models {
namespace {

constexpr const char* kWhat = "fairseq's linformer_roberta";
constexpr int64_t kPadding = 1;         // its dictionary's padding token
constexpr int64_t kPositionOffset = 2;  // positions count from the one after it

std::string layer_name(const std::string& prefix, int64_t i) {
  return fmt::format("{}layers.{}.", prefix, i);
}

std::string compression(const std::string& prefix, int64_t i, const char* what) {
  return fmt::format("{}self_attn.compress_{}.weight", layer_name(prefix, i), what);
}

// Whether all layers have the bits of the first one's E, for keys and for values.
bool is_layerwise(const Renaming& tensors, const std::string& prefix, int64_t layers) {
  const std::string first = compression(prefix, 0, "k");
  for (int64_t i = 0; i < layers; ++i) {
    const std::string v = compression(prefix, i, "v");
    if (!tensors.same(first, compression(prefix, i, "k"))) return false;
    if (tensors.has(v) && !tensors.same(first, v)) return false;
  }
  return layers > 1;
}

const char* sharing_of(const Renaming& tensors, const std::string& prefix, int64_t layers) {
  if (is_layerwise(tensors, prefix, layers)) return "layerwise";
  return tensors.has(compression(prefix, 0, "v")) ? "headwise" : "kv";
}

void take_compression(Renaming& tensors, const std::string& prefix, int64_t layers,
                      const std::string& sharing) {
  if (sharing == "layerwise") tensors.take(compression(prefix, 0, "k"), "shared_e");
  for (const char* part : {"weight", "bias"}) tensors.ignore(prefix + "compress_layer." + part);
  for (int64_t i = 0; i < layers; ++i) {
    const std::string theirs = layer_name(prefix, i), ours = fmt::format("layers.{}.attention.", i);
    const std::string k = compression(prefix, i, "k"), v = compression(prefix, i, "v");
    if (sharing == "layerwise") {
      tensors.ignore(k);
      tensors.ignore(v);
    } else {
      tensors.take(k, ours + "e");
      if (sharing == "headwise") tensors.take(v, ours + "f");
    }
    for (const char* unused :
         {"self_attn.compress_k.bias", "self_attn.compress_v.bias", "shared_compress_layer.weight",
          "shared_compress_layer.bias", "version"}) {
      tensors.ignore(theirs + unused);
    }
  }
}

void take_encoder(Renaming& tensors, const std::string& prefix, int64_t layers) {
  tensors.take(prefix + "embed_tokens.weight", "embeddings.tokens");
  tensors.take(prefix + "embed_positions.weight", "embeddings.positions");
  const bool recent = tensors.has_any(prefix + "layernorm_embedding.");
  tensors.take_both(prefix + (recent ? "layernorm_embedding" : "emb_layer_norm"),
                    "embeddings.norm");
  tensors.ignore(prefix + "version");
  for (int64_t i = 0; i < layers; ++i) {
    const std::string theirs = layer_name(prefix, i), ours = fmt::format("layers.{}.", i);
    for (const auto& [from, to] :
         {std::pair("self_attn.q_proj", "attention.query"),
          std::pair("self_attn.k_proj", "attention.key"),
          std::pair("self_attn.v_proj", "attention.value"),
          std::pair("self_attn.out_proj", "attention.output"),
          std::pair("self_attn_layer_norm", "norm1"), std::pair("fc1", "expand"),
          std::pair("fc2", "contract"), std::pair("final_layer_norm", "norm2")}) {
      tensors.take_both(theirs + from, ours + to);
    }
  }
}

// The classification head that is the task; empty: there is none.
std::string classification_head(const io::NamedTensors& stored, const ForeignHints& hints,
                                const std::string& where) {
  const std::string start = "classification_heads.", end = ".out_proj.weight";
  std::set<std::string> heads;
  for (const auto& [name, tensor] : stored) {
    if (!name.starts_with(start) || !name.ends_with(end)) continue;
    heads.insert(name.substr(start.size(), name.size() - start.size() - end.size()));
  }
  if (heads.empty()) return "";
  if (!hints.head && heads.size() == 1) return *heads.begin();
  if (hints.head && heads.count(*hints.head) > 0) return *hints.head;
  throw Error(fmt::format("{}: head = \"{}\"; it must be one of {}. Pass head.", where,
                          hints.head.value_or(""), fmt::join(heads, ", ")));
}

void take_head(Renaming& tensors, const std::string& prefix, const std::string& root,
               const std::string& head, Json& model) {
  const std::string language = root + "lm_head.";
  model["pooling"] = "cls";
  if (!head.empty()) {
    const std::string theirs = "classification_heads." + head + ".";
    model["task"] = "classification";
    model["head_activation"] = "tanh";
    model["classes"] = numbered_classes(tensors.size(theirs + "out_proj.weight", 0));
    tensors.take_both(theirs + "dense", "dense");
    tensors.take_both(theirs + "out_proj", "classifier");
    tensors.leave_out("classification_heads.", "the model has one head");
    tensors.leave_out(language, "the model's task is classification");
    return;
  }
  if (!tensors.has_any(language)) {
    model["task"] = "encoder";
    return;
  }
  model["task"] = "masked_language_model";
  tensors.take_both(language + "dense", "dense");
  tensors.take_both(language + "layer_norm", "head_norm");
  tensors.take(language + "bias", "output_bias");
  const bool tied = !tensors.has(language + "weight") ||
                    tensors.same(language + "weight", prefix + "embed_tokens.weight");
  model["tied_output"] = tied;
  tied ? tensors.ignore(language + "weight") : tensors.take(language + "weight", "output_table");
}

}  // namespace

NativeCheckpoint import_fairseq(const io::NamedTensors& stored, const ForeignHints& hints,
                                bool fixed, const std::string& where) {
  Renaming tensors(stored, where);
  const std::string root = tensors.has_any("decoder.sentence_encoder.") ? "decoder." : "encoder.";
  const std::string prefix = root + "sentence_encoder.", first = layer_name(prefix, 0);
  int64_t layers = 0;
  while (tensors.has_any(layer_name(prefix, layers))) ++layers;
  const std::string sharing = sharing_of(tensors, prefix, layers);

  NativeCheckpoint checkpoint;
  Json& model = checkpoint.model;
  model["tokenizer"] = "files";
  model["width"] = tensors.size(prefix + "embed_tokens.weight", 1);
  model["layers"] = layers;
  model["heads"] = required(hints.heads, "heads", kWhat, where);
  model["feed_forward"] = tensors.size(first + "fc1.weight", 0);
  model["activation"] = hints.activation;
  model["norm"] = "post";
  model["norm_epsilon"] = 1e-5;
  model["embeddings"] = {
      {"kind", "tokens"},
      {"vocabulary", tensors.size(prefix + "embed_tokens.weight", 0)},
      {"positions", "learned"},
      {"max_positions", tensors.size(prefix + "embed_positions.weight", 0) - kPositionOffset},
      {"position_offset", kPositionOffset},
      {"segments", 0},
      {"norm", true}};
  model["attention"] = {{"kind", "linformer"},
                        {"projected", tensors.size(compression(prefix, 0, "k"), 0)},
                        {"max_length", tensors.size(compression(prefix, 0, "k"), 1)},
                        {"sharing", sharing},
                        {"projection", "linear"}};
  model["compat"] = {{"profile", "fairseq"}, {"padding_token", kPadding}, {"padded", !fixed}};

  const std::string head = classification_head(stored, hints, where);
  take_encoder(tensors, prefix, layers);
  take_compression(tensors, prefix, layers, sharing);
  take_head(tensors, prefix, root, head, model);
  tensors.ignore(root + "version");
  tensors.finish(checkpoint, "Use the dict \"model\" of a whole checkpoint.");
  return checkpoint;
}

}  // namespace lowrank::models
