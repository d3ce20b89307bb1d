// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/mlpen.h"

#include <fmt/format.h>

namespace lowrank::models {
namespace {

constexpr const char* kWhat = "mlpen/Nystromformer";
constexpr int64_t kPositionOffset = 2;  // of code/: RoBERTa's, whose padding token is 1
constexpr int64_t kRobertaPadding = 1;

struct Shape {
  std::string prefix;         // of the encoder's names
  bool benchmark = false;     // LRA/code/
  bool shared_layer = false;  // one transformer.* for all layers
  int64_t layers = 0;
  std::optional<std::string> kind;  // of attention, where a tensor tells
};

constexpr const char* kFilter = "mha.attn.conv.weight";
constexpr const char* kProjection = "mha.attn.E";

std::string layer_name(const Shape& shape, int64_t i) {
  if (shape.shared_layer) return shape.prefix + "transformer.";
  return fmt::format("{}transformer_{}.", shape.prefix, i);
}

Shape shape_of(const Renaming& tensors, const ForeignHints& hints, const std::string& where) {
  Shape shape;
  if (tensors.has("model.embeddings.word_embeddings.weight")) shape.prefix = "model.";
  shape.benchmark = !tensors.has(shape.prefix + "embeddings.token_type_embeddings.weight");
  shape.shared_layer = tensors.has_any(shape.prefix + "transformer.");
  if (shape.shared_layer) shape.layers = required(hints.layers, "layers", kWhat, where);
  while (!shape.shared_layer && tensors.has_any(layer_name(shape, shape.layers))) ++shape.layers;
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string layer = layer_name(shape, i);
    if (tensors.has(layer + kFilter)) shape.kind = "nystrom";
    if (tensors.has(layer + kProjection)) shape.kind = "linformer";
  }
  return shape;
}

// softmax, nystrom or linformer.
std::string kind_of(const Shape& shape, const ForeignHints& hints, const std::string& where) {
  if (shape.kind) return *shape.kind;
  if (!hints.attention) {
    throw Error(where +
                ": attention is not to be seen in the tensors of mlpen/Nystromformer: softmax "
                "and nystrom without a convolution look alike. Pass attention.");
  }
  if (*hints.attention == "softmax" || *hints.attention == "nystrom") return *hints.attention;
  throw Error(
      fmt::format("{}: attention = \"{}\"; these tensors can be those of softmax or nystrom. Name "
                  "one of them.",
                  where, *hints.attention));
}

Json nystrom_of(Renaming& tensors, const Shape& shape, const ForeignHints& hints,
                const std::string& where) {
  const int64_t landmarks = required(hints.landmarks, "landmarks", kWhat, where);
  const int64_t length = required(hints.segment_length, "segment_length", kWhat, where);
  if (landmarks > length) {
    throw Error(
        fmt::format("{}: landmarks = {} exceeds segment_length = {}; mlpen's nystrom-512 has "
                    "these two numbers swapped. Pass landmarks and segment_length.",
                    where, landmarks, length));
  }
  Json kind = {{"kind", "nystrom"}, {"landmarks", landmarks}};
  if (landmarks == length) kind["exact_up_to"] = 65536;  // exact there, whatever the length
  kind["conv"] = shape.kind ? tensors.size(layer_name(shape, 0) + kFilter, 2) : 0;
  return kind;
}

Json attention_of(Renaming& tensors, const Shape& shape, const std::string& kind,
                  const ForeignHints& hints, const std::string& where) {
  if (kind == "softmax") return {{"kind", "exact"}};
  if (kind == "nystrom") return nystrom_of(tensors, shape, hints, where);
  const std::string e = layer_name(shape, 0) + kProjection;
  return {{"kind", "linformer"},
          {"projected", tensors.size(e, 1)},
          {"max_length", tensors.size(e, 2)},
          {"sharing", "none"},
          {"projection", "linear"}};
}

int64_t heads_of(Renaming& tensors, const Shape& shape, const ForeignHints& hints,
                 const std::string& where) {
  if (!shape.kind) return required(hints.heads, "heads", kWhat, where);
  return tensors.size(layer_name(shape, 0) + (shape.kind == "nystrom" ? kFilter : kProjection), 0);
}

Json embeddings_of(Renaming& tensors, const Shape& shape) {
  const std::string embeddings = shape.prefix + "embeddings.";
  const int64_t offset = shape.benchmark ? 0 : kPositionOffset;
  Json json = {
      {"kind", "tokens"},
      {"vocabulary", tensors.size(embeddings + "word_embeddings.weight", 0)},
      {"positions", "learned"},
      {"max_positions", tensors.size(embeddings + "position_embeddings.weight", 0) - offset},
      {"position_offset", offset},
      {"segments", 0},
      {"norm", !shape.benchmark}};
  if (!shape.benchmark)
    json["segments"] = tensors.size(embeddings + "token_type_embeddings.weight", 0);
  return json;
}

void take_encoder(Renaming& tensors, const Shape& shape) {
  const std::string embeddings = shape.prefix + "embeddings.";
  tensors.take(embeddings + "word_embeddings.weight", "embeddings.tokens");
  tensors.take(embeddings + "position_embeddings.weight", "embeddings.positions");
  if (!shape.benchmark) {
    tensors.take(embeddings + "token_type_embeddings.weight", "embeddings.segments");
    tensors.take_both(embeddings + "norm", "embeddings.norm");
  }
  for (int64_t i = 0; i < shape.layers; ++i) {
    const std::string theirs = layer_name(shape, i), ours = fmt::format("layers.{}.", i);
    for (const auto& [from, to] :
         {std::pair("mha.W_q", "attention.query"), std::pair("mha.W_k", "attention.key"),
          std::pair("mha.W_v", "attention.value"), std::pair("mha.ff", "attention.output"),
          std::pair("norm1", "norm1"), std::pair("norm2", "norm2"),
          std::pair(shape.benchmark ? "mlpblock.0" : "ff1", "expand"),
          std::pair(shape.benchmark ? "mlpblock.3" : "ff2", "contract")}) {
      tensors.take_both(theirs + from, ours + to);
    }
    if (shape.kind == "nystrom") tensors.take_filter(theirs + kFilter, ours + "attention.filter");
    if (shape.kind != "linformer") continue;
    tensors.take(theirs + kProjection, ours + "attention.e");
    tensors.take(theirs + kProjection, ours + "attention.f");
  }
  if (shape.benchmark) tensors.take_both(shape.prefix + "norm", "final_norm");
}

// Task and head, of which a checkpoint may hold several.
void take_head(Renaming& tensors, const Shape& shape, Json& model) {
  model["task"] = "encoder";
  model["pooling"] = shape.benchmark ? "mean" : "cls";
  if (tensors.has_any("sen_classifer.")) {
    model["task"] = "classification";
    model["head_activation"] = "tanh";
    model["classes"] = numbered_classes(tensors.size("sen_classifer.classifer.weight", 0));
    tensors.take_both("sen_classifer.dense", "dense");
    tensors.take_both("sen_classifer.classifer", "classifier");
  } else if (tensors.has_any("qahead.") && tensors.size("qahead.weight", 0) == 2) {
    model["task"] = "question_answering";
    tensors.take_both("qahead", "classifier");
  } else if (tensors.has_any("mlm.") && !tensors.has_any("qahead.")) {
    model["task"] = "masked_language_model";
    tensors.take_both("mlm.dense", "dense");
    tensors.take_both("mlm.norm", "head_norm");
    tensors.take("mlm.mlm_class.bias", "output_bias");
    tensors.ignore("mlm.mlm_class.weight");  // the token table
    return;
  }
  tensors.leave_out("mlm.", "the model's task is another");
  tensors.leave_out("qahead.", "its task, a candidate for each row, does not exist here");
  tensors.leave_out("seq_classifer.", "its hidden layer has a width of its own");
}

}  // namespace

NativeCheckpoint import_mlpen(const io::NamedTensors& stored, const ForeignHints& hints, bool fixed,
                              const std::string& where) {
  Renaming tensors(stored, where);
  const Shape shape = shape_of(tensors, hints, where);
  const std::string first = layer_name(shape, 0), attention = first + "mha.";
  const std::string expand = first + (shape.benchmark ? "mlpblock.0" : "ff1");
  if (tensors.has(shape.prefix + "embeddings.dense.weight")) {
    throw Error(where +
                ": embedding_dim is not transformer_dim; token vectors have the model's width "
                "here. Such a checkpoint cannot be brought over.");
  }
  const std::string kind = kind_of(shape, hints, where);
  NativeCheckpoint checkpoint;
  Json& model = checkpoint.model;
  model["tokenizer"] = "files";
  model["width"] = tensors.size(attention + "W_q.weight", 1);
  model["layers"] = shape.layers;
  model["heads"] = heads_of(tensors, shape, hints, where);
  model["feed_forward"] = tensors.size(expand + ".weight", 0);
  model["activation"] = shape.benchmark ? "gelu" : "gelu_tanh";
  model["norm"] = shape.benchmark ? "pre" : "post";
  model["norm_epsilon"] = 1e-5;
  model["embeddings"] = embeddings_of(tensors, shape);
  model["attention"] = attention_of(tensors, shape, kind, hints, where);
  if (kind == "nystrom" && !fixed) {
    model["compat"] = {
        {"profile", "mlpen"},
        {"segment_length", required(hints.segment_length, "segment_length", kWhat, where)},
        {"per_matrix_start", hints.per_matrix_start},
        {"padding_token", shape.benchmark ? 0 : kRobertaPadding}};
  }
  take_encoder(tensors, shape);
  take_head(tensors, shape, model);
  tensors.finish(checkpoint, "Use a whole checkpoint of mlpen/Nystromformer.");
  return checkpoint;
}

}  // namespace lowrank::models
