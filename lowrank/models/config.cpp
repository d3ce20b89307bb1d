// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/config.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <set>

namespace lowrank::models {
namespace {

constexpr int64_t kMost = 1'000'000'000;  // of any size or count
constexpr double kMostScale = 1e6;
constexpr double kMostDropout = 0.99;

void describe_kind(ConfigFields& fields, ExactOptions& kind) {
  fields.number("scale", kind.scale, 0, kMostScale);
}

void describe_kind(ConfigFields& fields, NystromOptions& kind) {
  fields.number("landmarks", kind.landmarks, 1, 65536);
  if (fields.reading() || kind.exact_up_to != kToBeMeasured) {
    fields.number("exact_up_to", kind.exact_up_to, 0, NystromOptions::kMostExact);
  }
  fields.number("inverse_steps", kind.inverse_steps, 1, 32);
  fields.number("conv", kind.conv, 0, 65535);
  fields.number("scale", kind.scale, 0, kMostScale);
}

void describe_kind(ConfigFields& fields, LinformerOptions& kind) {
  fields.number("projected", kind.projected, 1, kMost);
  fields.number("max_length", kind.max_length, 1, kMost);
  fields.choice("sharing", kind.sharing,
                {{"none", LinformerSharing::kNone},
                 {"headwise", LinformerSharing::kHeadwise},
                 {"kv", LinformerSharing::kKeyValue},
                 {"layerwise", LinformerSharing::kLayerwise}});
  fields.choice("projection", kind.projection,
                {{"linear", LinformerProjection::kLinear},
                 {"mean_pool", LinformerProjection::kMeanPool},
                 {"max_pool", LinformerProjection::kMaxPool},
                 {"conv", LinformerProjection::kConv}});
  fields.number("scale", kind.scale, 0, kMostScale);
}

// The alternatives of AttentionKind, in its order; and Nystrom attention that is to be measured.
enum class KindName { kExact, kNystrom, kLinformer, kAuto };

KindName name_of(const AttentionKind& kind) {
  const auto* nystrom = std::get_if<NystromOptions>(&kind);
  if (nystrom && nystrom->exact_up_to == kToBeMeasured) return KindName::kAuto;
  return static_cast<KindName>(kind.index());
}

void describe_attention(ConfigFields& fields, AttentionKind& kind) {
  fields.required("kind");
  const KindName before = name_of(kind);
  KindName name = before;
  fields.choice("kind", name,
                {{"exact", KindName::kExact},
                 {"nystrom", KindName::kNystrom},
                 {"linformer", KindName::kLinformer},
                 {"auto", KindName::kAuto}});
  if (name != before) {
    if (name == KindName::kExact) kind = ExactOptions{};
    if (name == KindName::kNystrom) kind = NystromOptions{};
    if (name == KindName::kLinformer) kind = LinformerOptions{};
    if (name == KindName::kAuto) kind = NystromOptions{.exact_up_to = kToBeMeasured};
  }
  std::visit([&](auto& options) { describe_kind(fields, options); }, kind);
}

void describe_embeddings(ConfigFields& fields, nn::EmbeddingsOptions& embeddings) {
  fields.choice("kind", embeddings.kind,
                {{"tokens", nn::EmbeddingKind::kTokens},
                 {"ngrams", nn::EmbeddingKind::kNgrams},
                 {"convolution", nn::EmbeddingKind::kConvolution}});
  fields.number("vocabulary", embeddings.vocabulary, 1, kMost);
  fields.number("patch", embeddings.patch, 1, 65536);
  fields.numbers("ngrams", embeddings.ngrams, 1, 64);
  fields.number("buckets", embeddings.buckets, 1, kMost);
  fields.choice("positions", embeddings.positions,
                {{"learned", nn::Positions::kLearned},
                 {"sinusoidal", nn::Positions::kSinusoidal},
                 {"none", nn::Positions::kNone}});
  fields.number("max_positions", embeddings.max_positions, 1, kMost);
  fields.number("position_offset", embeddings.position_offset, 0, 65536);
  fields.number("segments", embeddings.segments, 0, 65536);
  fields.flag("norm", embeddings.norm);
  fields.number("dropout", embeddings.dropout, 0, kMostDropout);
}

void describe_compat(ConfigFields& fields, CompatOptions& compat) {
  fields.choice("profile", compat.profile, profile_names());
  fields.number("segment_length", compat.segment_length, 0, kMost);
  fields.flag("per_matrix_start", compat.per_matrix_start);
  fields.number("padding_token", compat.padding_token, 0, kMost);
  fields.flag("padded", compat.padded);
}

[[noreturn]] void fail(const std::string& where, const std::string& message) {
  throw Error(where + ": " + message);
}

void check_nystrom(const NystromOptions& kind, const std::string& place) {
  if (kind.exact_up_to == kToBeMeasured) {
    fail(place,
         "kind = \"auto\"; a model needs the number that training measures. Set exact_up_to.");
  }
  if (kind.conv > 0 && kind.conv % 2 == 0) {
    fail(place, fmt::format("conv = {}; it must be odd, or 0 for none. Use {}.", kind.conv,
                            kind.conv + 1));
  }
}

void check_linformer(const LinformerOptions& kind, const nn::EmbeddingsOptions& embeddings,
                     const std::string& place) {
  if (kind.projected > kind.max_length) {
    fail(place, fmt::format("projected = {} exceeds max_length = {}; sequences would grow. Lower "
                            "projected.",
                            kind.projected, kind.max_length));
  }
  if (embeddings.positions != nn::Positions::kNone && embeddings.max_positions > kind.max_length) {
    fail(place,
         fmt::format("max_length = {} is less than embeddings.max_positions = {}; both count "
                     "rows, tokens over patch. Raise max_length or lower max_positions.",
                     kind.max_length, embeddings.max_positions));
  }
}

void check_embeddings(const ModelConfig& config, const std::string& where) {
  const nn::EmbeddingsOptions& embeddings = config.embeddings;
  const std::set<int64_t> lengths(embeddings.ngrams.begin(), embeddings.ngrams.end());
  if (embeddings.kind == nn::EmbeddingKind::kNgrams &&
      (lengths.empty() || lengths.size() != embeddings.ngrams.size())) {
    fail(where,
         fmt::format("embeddings.ngrams = [{}]; it must hold lengths, each once. Use [1, 3].",
                     fmt::join(embeddings.ngrams, ", ")));
  }
  if (is_about_tokens(config.task) && embeddings.patch != 1) {
    fail(where, fmt::format("embeddings.patch = {}; a {} has one row a token. Set it to 1.",
                            embeddings.patch, in_words(config.task)));
  }
  if (config.task != Task::kMaskedLanguageModel || !config.tied_output) return;
  if (embeddings.kind != nn::EmbeddingKind::kTokens) {
    fail(where,
         "embeddings.kind is not tokens; a masked language model ties its output layer to the "
         "token table. Set it to tokens.");
  }
}

// A profile belongs to one kind of attention, and pads with a token that the model knows.
void check_compat(const ModelConfig& config, const std::string& where) {
  const CompatOptions& compat = config.compat;
  if (compat.profile == Profile::kNone) return;
  const std::string place =
      fmt::format("{}: compat.profile = \"{}\"", where, profile_name(compat.profile));
  const bool nystrom = compat.profile == Profile::kHuggingFace || compat.profile == Profile::kMlpen;
  if (!nystrom && compat.profile != Profile::kFairseq) {
    fail(place, "an encoder has the profile none, hf, mlpen or fairseq. Use none.");
  }
  for (const AttentionKind& attention : config.attention) {
    const auto* kind = std::get_if<NystromOptions>(&attention);
    if (nystrom ? !kind : !std::holds_alternative<LinformerOptions>(attention)) {
      fail(place, fmt::format("it is for {} attention in every layer. Use profile \"none\".",
                              nystrom ? "nystrom" : "linformer"));
    }
    if (kind &&
        (compat.segment_length < kind->landmarks || compat.segment_length % kind->landmarks != 0)) {
      fail(place, fmt::format("segment_length = {}; it must be a multiple of landmarks = {}. Use "
                              "the number of the checkpoint.",
                              compat.segment_length, kind->landmarks));
    }
  }
  if (!compat.padded && nystrom) {
    fail(place, "padded = false; its landmarks are cut from a padded length. Use true.");
  }
  if (compat.padding_token >= config.embeddings.vocabulary) {
    fail(place, fmt::format("padding_token = {}; the vocabulary ends at {}. Use a token of it.",
                            compat.padding_token, config.embeddings.vocabulary - 1));
  }
  if (config.embeddings.patch != 1) {
    fail(place, "embeddings.patch must be 1 under a profile. Use profile \"none\".");
  }
}

void check_layerwise(const ModelConfig& config, const std::string& where) {
  const LinformerOptions* first = nullptr;
  for (const AttentionKind& attention : config.attention) {
    const auto* kind = std::get_if<LinformerOptions>(&attention);
    if (!kind || kind->sharing != LinformerSharing::kLayerwise) continue;
    if (!first) first = kind;
    if (kind->projected == first->projected && kind->max_length == first->max_length &&
        kind->projection == first->projection) {
      continue;
    }
    fail(where,
         fmt::format("layerwise attention has projected, max_length = {}, {} in one layer and "
                     "{}, {} in another, or two projections; these layers share one E. Make "
                     "them alike.",
                     first->projected, first->max_length, kind->projected, kind->max_length));
  }
}

}  // namespace

void describe(ConfigFields& fields, ModelConfig& config) {
  fields.choice("task", config.task,
                {{"classification", Task::kClassification},
                 {"masked_language_model", Task::kMaskedLanguageModel},
                 {"encoder", Task::kEncoder},
                 {"token_classification", Task::kTokenClassification},
                 {"question_answering", Task::kQuestionAnswering},
                 {"multiple_choice", Task::kMultipleChoice},
                 {"retrieval", Task::kRetrieval}});
  fields.text("tokenizer", config.tokenizer);
  fields.number("width", config.width, 1, 65536);
  fields.number("layers", config.layers, 0, 1024);
  fields.number("heads", config.heads, 1, 1024);
  fields.number("feed_forward", config.feed_forward, 1, 1'048'576);
  fields.choice("activation", config.activation,
                {{"gelu", nn::Activation::kGelu},
                 {"gelu_tanh", nn::Activation::kGeluTanh},
                 {"relu", nn::Activation::kRelu}});
  fields.choice("norm", config.norm,
                {{"pre", nn::NormPosition::kPre}, {"post", nn::NormPosition::kPost}});
  fields.number("norm_epsilon", config.norm_epsilon, 0, 1);
  fields.number("dropout", config.dropout, 0, kMostDropout);
  fields.object("embeddings",
                [&](ConfigFields& inner) { describe_embeddings(inner, config.embeddings); });
  fields.objects(
      "attention", [&](size_t size) { config.attention.assign(size, ExactOptions{}); },
      config.attention.size(),
      [&](ConfigFields& inner, size_t i) { describe_attention(inner, config.attention[i]); });
  fields.object("compat", [&](ConfigFields& inner) { describe_compat(inner, config.compat); });
  fields.choice("pooling", config.pooling,
                {{"mean", Pooling::kMean}, {"cls", Pooling::kCls}, {"max", Pooling::kMax}});
  fields.choice("head_activation", config.head_activation,
                {{"none", nn::Activation::kNone},
                 {"gelu", nn::Activation::kGelu},
                 {"gelu_tanh", nn::Activation::kGeluTanh},
                 {"relu", nn::Activation::kRelu},
                 {"tanh", nn::Activation::kTanh}});
  fields.number("head_width", config.head_width, 0, 65536);
  fields.flag("tied_output", config.tied_output);
  fields.flag("sentence_order", config.sentence_order);
  fields.texts("classes", config.classes);
}

void check(const ModelConfig& config, const std::string& where) {
  if (config.width % config.heads != 0) {
    fail(where, fmt::format("heads = {} does not divide width = {}; each head has width / heads "
                            "channels. Set heads to a divisor.",
                            config.heads, config.width));
  }
  const auto entries = static_cast<int64_t>(config.attention.size());
  if (entries != 1 && entries != config.layers) {
    fail(where, fmt::format("attention has {} entries for {} layers; it must have one, or one a "
                            "layer. Add or remove entries.",
                            entries, config.layers));
  }
  for (int64_t i = 0; i < entries; ++i) {
    const AttentionKind& attention = config.attention[static_cast<size_t>(i)];
    const std::string place = fmt::format("{}: attention[{}]", where, i);
    if (const auto* kind = std::get_if<NystromOptions>(&attention)) check_nystrom(*kind, place);
    if (const auto* kind = std::get_if<LinformerOptions>(&attention)) {
      check_linformer(*kind, config.embeddings, place);
    }
  }
  check_layerwise(config, where);
  if (config.sentence_order && config.task != Task::kMaskedLanguageModel) {
    fail(where, fmt::format("sentence_order = true; a {} has no such head. Leave it out.",
                            in_words(config.task)));
  }
  check_embeddings(config, where);
  check_compat(config, where);
  if (config.head_width > 0 &&
      (!is_about_classes(config.task) || config.head_activation == nn::Activation::kNone)) {
    fail(where,
         fmt::format("head_width = {}; it is the size of the dense layer that a head_activation "
                     "puts before the classes. Set head_activation, or head_width = 0.",
                     config.head_width));
  }
  const std::set<std::string> names(config.classes.begin(), config.classes.end());
  if (names.size() != config.classes.size()) {
    fail(where, fmt::format("classes names {} labels, of which {} are distinct. Remove the "
                            "duplicates.",
                            config.classes.size(), names.size()));
  }
}

bool is_padded(const ModelConfig& config) {
  return config.compat.profile != Profile::kNone && config.compat.padded;
}

bool is_about_tokens(Task task) {
  return task == Task::kMaskedLanguageModel || task == Task::kTokenClassification ||
         task == Task::kQuestionAnswering;
}

bool is_about_classes(Task task) {
  return task == Task::kClassification || task == Task::kRetrieval;
}

std::string in_words(Task task) {
  switch (task) {
    case Task::kClassification:
      return "classifier";
    case Task::kMaskedLanguageModel:
      return "masked language model";
    case Task::kEncoder:
      return "encoder";
    case Task::kTokenClassification:
      return "token classifier";
    case Task::kQuestionAnswering:
      return "question answering model";
    case Task::kMultipleChoice:
      return "multiple choice model";
    case Task::kRetrieval:
      return "retrieval model";
  }
  return "";
}

const AttentionKind& attention_of_layer(const ModelConfig& config, int64_t layer) {
  return config.attention.size() == 1 ? config.attention.front()
                                      : config.attention[static_cast<size_t>(layer)];
}

}  // namespace lowrank::models
