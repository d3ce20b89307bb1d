// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/hugging_face.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <map>
#include <set>

#include "lowrank/base/file.h"
#include "lowrank/io/load_tensors.h"
#include "lowrank/models/model_directory.h"

namespace lowrank::models {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMost = 1'000'000'000;
constexpr int64_t kPositionOffset = 2;  // of roberta and nystromformer: their padding token is 1
constexpr const char* kFilter = ".attention.self.conv.weight";

enum class Type { kBert, kRoberta, kNystromformer };

// The keys of transformers' config.json that are read. Their names are the file's.
struct Config {
  Type type = Type::kBert;
  std::vector<std::string> architectures;
  int64_t vocab_size = 30522;
  int64_t hidden_size = 768;
  int64_t num_hidden_layers = 12;
  int64_t num_attention_heads = 12;
  int64_t intermediate_size = 3072;
  std::string hidden_act = "gelu";
  double hidden_dropout_prob = 0.1;
  int64_t max_position_embeddings = 512;
  int64_t type_vocab_size = 2;
  double layer_norm_eps = 1e-12;
  int64_t pad_token_id = 0;
  bool tie_word_embeddings = true;
  std::string position_embedding_type = "absolute";
  bool is_decoder = false;
  bool add_cross_attention = false;
  Json id2label = Json::object();
  Json pruned_heads = Json::object();
  int64_t segment_means_seq_len = 64;  // nystromformer, and the next three
  int64_t num_landmarks = 64;
  int64_t conv_kernel_size = 65;
  bool inv_coeff_init_option = false;
};

const std::vector<std::pair<std::string, Type>>& type_names() {
  static const std::vector<std::pair<std::string, Type>> names = {
      {"bert", Type::kBert}, {"roberta", Type::kRoberta}, {"nystromformer", Type::kNystromformer}};
  return names;
}

std::string type_name(Type type) {
  for (const auto& [name, known] : type_names()) {
    if (known == type) return name;
  }
  return "";
}

void describe(ConfigFields& fields, Config& config) {
  fields.texts("architectures", config.architectures);
  fields.required("model_type");
  fields.choice("model_type", config.type, type_names());
  for (const char* key : {"vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads",
                          "intermediate_size", "max_position_embeddings"}) {
    fields.required(key);
  }
  fields.number("vocab_size", config.vocab_size, 1, kMost);
  fields.number("hidden_size", config.hidden_size, 1, 65536);
  fields.number("num_hidden_layers", config.num_hidden_layers, 0, 1024);
  fields.number("num_attention_heads", config.num_attention_heads, 1, 1024);
  fields.number("intermediate_size", config.intermediate_size, 1, 1'048'576);
  fields.text("hidden_act", config.hidden_act);
  fields.number("hidden_dropout_prob", config.hidden_dropout_prob, 0, 0.99);
  fields.number("max_position_embeddings", config.max_position_embeddings, 1, kMost);
  fields.number("type_vocab_size", config.type_vocab_size, 0, 65536);
  fields.number("layer_norm_eps", config.layer_norm_eps, 0, 1);
  fields.number("pad_token_id", config.pad_token_id, 0, kMost);
  fields.flag("tie_word_embeddings", config.tie_word_embeddings);
  fields.text("position_embedding_type", config.position_embedding_type);
  fields.flag("is_decoder", config.is_decoder);
  fields.flag("add_cross_attention", config.add_cross_attention);
  fields.json("id2label", config.id2label);
  fields.json("pruned_heads", config.pruned_heads);
  if (config.type != Type::kNystromformer) return;
  fields.number("segment_means_seq_len", config.segment_means_seq_len, 1, kMost);
  fields.number("num_landmarks", config.num_landmarks, 1, 65536);
  fields.number("conv_kernel_size", config.conv_kernel_size, 0, 65535);
  fields.flag("inv_coeff_init_option", config.inv_coeff_init_option);
}

// Of transformers' hundreds of keys those that describe() knows; the others say how to train or to
// generate. null means absent, but for the kernel: none.
Json known_keys(const Json& json, Type type) {
  Config config;
  config.type = type;
  Json known = Json::object();
  const Json described = write_config([&](ConfigFields& fields) { describe(fields, config); });
  for (const auto& [key, value] : json.items()) {
    if (!described.contains(key)) continue;
    if (!value.is_null()) known[key] = value;
    if (value.is_null() && key == "conv_kernel_size") known[key] = 0;
  }
  return known;
}

Config read(const Json& json, const std::string& where) {
  Config config;
  const auto read_type = [&](ConfigFields& fields) {
    fields.choice("model_type", config.type, type_names());
  };
  read_config(Json{{"model_type", json.at("model_type")}}, where, read_type);
  read_config(known_keys(json, config.type), where,
              [&](ConfigFields& fields) { describe(fields, config); });
  return config;
}

[[noreturn]] void fail(const std::string& where, const std::string& message) {
  throw Error(where + ": " + message);
}

// ---- From transformers' configuration to ours

// What transformers adds to a model type's class name for a head, and what that is here.
struct Head {
  const char* suffix;
  Task task;
};
constexpr Head kHeads[] = {
    {"ForMaskedLM", Task::kMaskedLanguageModel},
    {"ForPreTraining", Task::kMaskedLanguageModel},
    {"ForSequenceClassification", Task::kClassification},
    {"ForTokenClassification", Task::kTokenClassification},
    {"ForQuestionAnswering", Task::kQuestionAnswering},
    {"ForMultipleChoice", Task::kMultipleChoice},
    {"Model", Task::kEncoder},
};

Task task_of(const Config& config, const std::string& where) {
  if (config.architectures.empty()) return Task::kEncoder;
  const std::string& name = config.architectures.front();
  for (const Head& head : kHeads) {
    if (name.ends_with(head.suffix)) return head.task;
  }
  std::vector<std::string> known;
  for (const Head& head : kHeads) known.emplace_back(head.suffix);
  fail(where, fmt::format("architectures = [\"{}\"]; the head must be one of {}. Convert another "
                          "checkpoint.",
                          name, fmt::join(known, ", ")));
}

nn::Activation activation_of(const Config& config, const std::string& where) {
  const std::string& name = config.hidden_act;
  if (name == "gelu") return nn::Activation::kGelu;
  if (name == "relu") return nn::Activation::kRelu;
  if (name == "gelu_new" || name == "gelu_pytorch_tanh" || name == "gelu_fast") {
    return nn::Activation::kGeluTanh;
  }
  fail(where, fmt::format("hidden_act = \"{}\"; it must be gelu, gelu_new, gelu_pytorch_tanh, "
                          "gelu_fast or relu. Convert another checkpoint.",
                          name));
}

void check_supported(const Config& config, const std::string& where) {
  const auto refuse = [&](const std::string& fact) {
    fail(where, fact + "; there is no such layer here. Convert another checkpoint.");
  };
  if (config.position_embedding_type != "absolute") {
    refuse(fmt::format("position_embedding_type = \"{}\"", config.position_embedding_type));
  }
  if (config.is_decoder) refuse("is_decoder = true");
  if (config.add_cross_attention) refuse("add_cross_attention = true");
  if (!config.pruned_heads.empty()) refuse("pruned_heads is not empty");
  if (config.type == Type::kRoberta && config.max_position_embeddings <= kPositionOffset) {
    fail(where, fmt::format("max_position_embeddings = {}; roberta's first two are of no token. "
                            "Check the file.",
                            config.max_position_embeddings));
  }
}

// Label names by their ids; transformers' own default is two.
std::vector<std::string> classes_of(const Config& config, const std::string& where) {
  if (config.id2label.empty()) return {"LABEL_0", "LABEL_1"};
  std::map<int64_t, std::string> labels;
  for (const auto& [key, value] : config.id2label.items()) {
    const bool digits =
        !key.empty() && key.size() < 10 &&
        std::all_of(key.begin(), key.end(), [](char c) { return c >= '0' && c <= '9'; });
    if (!digits || !value.is_string()) {
      fail(where, fmt::format("id2label has \"{}\": {}; it must give each class number a name. "
                              "Mend the file.",
                              key, value.dump()));
    }
    labels[std::stoll(key)] = value.get<std::string>();
  }
  std::vector<std::string> classes;
  for (const auto& [id, name] : labels) {
    if (id != std::ssize(classes)) {
      fail(where, fmt::format("id2label names class {} and not {}; classes count from 0. Mend the "
                              "file.",
                              id, classes.size()));
    }
    classes.push_back(name);
  }
  return classes;
}

// What stands between the first row and the classifier.
nn::Activation head_activation_of(const Config& config, Task task, const ModelConfig& model) {
  const bool nystrom = config.type == Type::kNystromformer;
  if (task == Task::kClassification) return nystrom ? model.activation : nn::Activation::kTanh;
  if (task == Task::kMultipleChoice) return nystrom ? nn::Activation::kRelu : nn::Activation::kTanh;
  return nn::Activation::kNone;
}

NystromOptions nystrom_of(const Config& config) {
  const bool dense = config.num_landmarks == config.segment_means_seq_len;
  return {.landmarks = config.num_landmarks,
          .exact_up_to = dense ? NystromOptions::kMostExact : 0,
          .conv = config.conv_kernel_size};
}

ModelConfig to_model_config(const Config& config, const std::string& where, bool fixed) {
  check_supported(config, where);
  ModelConfig model;
  model.task = task_of(config, where);
  model.tokenizer = "files";
  model.width = config.hidden_size;
  model.layers = config.num_hidden_layers;
  model.heads = config.num_attention_heads;
  model.feed_forward = config.intermediate_size;
  model.activation = activation_of(config, where);
  model.norm = nn::NormPosition::kPost;
  model.norm_epsilon = config.layer_norm_eps;
  model.dropout = config.hidden_dropout_prob;
  model.embeddings.vocabulary = config.vocab_size;
  model.embeddings.max_positions = config.max_position_embeddings;
  model.embeddings.segments = config.type_vocab_size;
  model.embeddings.norm = true;
  model.embeddings.dropout = config.hidden_dropout_prob;
  if (config.type != Type::kBert) model.embeddings.position_offset = kPositionOffset;
  // roberta counts the two that no token has among its positions, nystromformer does not.
  if (config.type == Type::kRoberta) model.embeddings.max_positions -= kPositionOffset;
  model.attention = {ExactOptions{}};
  if (config.type == Type::kNystromformer) {
    model.attention = {nystrom_of(config)};
    if (!fixed) {
      model.compat = {.profile = Profile::kHuggingFace,
                      .segment_length = config.segment_means_seq_len,
                      .per_matrix_start = config.inv_coeff_init_option,
                      .padding_token = config.pad_token_id};
    }
  }
  model.pooling = Pooling::kCls;
  model.head_activation = head_activation_of(config, model.task, model);
  model.tied_output = config.tie_word_embeddings;
  if (model.task == Task::kClassification || model.task == Task::kTokenClassification) {
    model.classes = classes_of(config, where);
  }
  return model;
}

// ---- Names

using Names = std::vector<std::pair<std::string, std::string>>;  // ours, theirs

void add_layer(Names& names, const std::string& ours, const std::string& theirs) {
  for (const char* end : {".weight", ".bias"}) names.emplace_back(ours + end, theirs + end);
}

void add_encoder(Names& names, const ModelConfig& config, const std::string& prefix) {
  names.emplace_back("embeddings.tokens", prefix + "embeddings.word_embeddings.weight");
  names.emplace_back("embeddings.positions", prefix + "embeddings.position_embeddings.weight");
  if (config.embeddings.segments > 0) {
    names.emplace_back("embeddings.segments", prefix + "embeddings.token_type_embeddings.weight");
  }
  add_layer(names, "embeddings.norm", prefix + "embeddings.LayerNorm");
  for (int64_t i = 0; i < config.layers; ++i) {
    const std::string ours = fmt::format("layers.{}.", i);
    const std::string theirs = fmt::format("{}encoder.layer.{}", prefix, i);
    for (const char* part : {"query", "key", "value"}) {
      add_layer(names, ours + "attention." + part, theirs + ".attention.self." + part);
    }
    const auto* nystrom = std::get_if<NystromOptions>(&attention_of_layer(config, i));
    if (nystrom && nystrom->conv > 0) {
      names.emplace_back(ours + "attention.filter", theirs + kFilter);
    }
    add_layer(names, ours + "attention.output", theirs + ".attention.output.dense");
    add_layer(names, ours + "norm1", theirs + ".attention.output.LayerNorm");
    add_layer(names, ours + "expand", theirs + ".intermediate.dense");
    add_layer(names, ours + "contract", theirs + ".output.dense");
    add_layer(names, ours + "norm2", theirs + ".output.LayerNorm");
  }
}

void add_language_head(Names& names, const ModelConfig& config, Type type) {
  const bool roberta = type == Type::kRoberta;
  add_layer(names, "dense", roberta ? "lm_head.dense" : "cls.predictions.transform.dense");
  add_layer(names, "head_norm",
            roberta ? "lm_head.layer_norm" : "cls.predictions.transform.LayerNorm");
  names.emplace_back("output_bias", roberta ? "lm_head.bias" : "cls.predictions.bias");
  if (config.tied_output) return;
  names.emplace_back("output_table",
                     roberta ? "lm_head.decoder.weight" : "cls.predictions.decoder.weight");
}

void add_head(Names& names, const ModelConfig& config, Type type, const std::string& prefix) {
  const bool pooler = config.head_activation != nn::Activation::kNone;
  switch (config.task) {
    case Task::kMaskedLanguageModel:
      return add_language_head(names, config, type);
    case Task::kEncoder:
      if (pooler && type != Type::kNystromformer) {
        add_layer(names, "dense", prefix + "pooler.dense");
      }
      return;
    case Task::kClassification:
      add_layer(names, "dense", type == Type::kBert ? prefix + "pooler.dense" : "classifier.dense");
      add_layer(names, "classifier", type == Type::kBert ? "classifier" : "classifier.out_proj");
      return;
    case Task::kMultipleChoice:
      add_layer(names, "dense",
                type == Type::kNystromformer ? "pre_classifier" : prefix + "pooler.dense");
      return add_layer(names, "classifier", "classifier");
    case Task::kTokenClassification:
      return add_layer(names, "classifier", "classifier");
    case Task::kQuestionAnswering:
      return add_layer(names, "classifier", "qa_outputs");
    case Task::kRetrieval:  // check_expressible refuses it, and no file of theirs has it
      return;
  }
}

Names names_of(const ModelConfig& config, Type type, const std::string& prefix) {
  Names names;
  add_encoder(names, config, prefix);
  add_head(names, config, type, prefix);
  return names;
}

// Whether a tensor holds what the model has elsewhere or computes itself: indices, tied copies.
bool is_derived(const std::string& name, const ModelConfig& config) {
  if (name.ends_with("embeddings.position_ids") || name.ends_with("embeddings.token_type_ids")) {
    return true;
  }
  if (name == "cls.predictions.decoder.bias" || name == "lm_head.decoder.bias") return true;
  return config.tied_output &&
         (name == "cls.predictions.decoder.weight" || name == "lm_head.decoder.weight");
}

// Whether it belongs to a head that the model's task does not have.
bool is_of_another_head(const std::string& name) {
  return name.find("pooler.dense.") != std::string::npos ||
         name.starts_with("cls.seq_relationship.");
}

// Checkpoints of TensorFlow's days call a LayerNorm's parameters gamma and beta.
std::string modern(std::string name) {
  for (const auto& [old, now] : {std::pair{"LayerNorm.gamma", "LayerNorm.weight"},
                                 std::pair{"LayerNorm.beta", "LayerNorm.bias"}}) {
    if (name.ends_with(old))
      name.replace(name.size() - std::string(old).size(), std::string::npos, now);
  }
  return name;
}

// "bert." where the encoder's tensors have it before their names.
std::string prefix_in(const std::map<std::string, at::Tensor>& tensors, Type type) {
  const std::string prefix = type_name(type) + ".";
  const auto found = tensors.lower_bound(prefix);
  return found != tensors.end() && found->first.starts_with(prefix) ? prefix : "";
}

at::Tensor to_ours(const std::string& theirs, const at::Tensor& tensor) {
  const bool filter =
      theirs.ends_with(kFilter) && tensor.dim() == 4 && tensor.size(1) == 1 && tensor.size(3) == 1;
  return filter ? tensor.flatten(1) : tensor;  // [h, 1, taps, 1] -> [h, taps]
}

at::Tensor to_theirs(const std::string& theirs, const at::Tensor& tensor) {
  return theirs.ends_with(kFilter) ? tensor.unsqueeze(1).unsqueeze(3) : tensor;
}

std::string shown(at::IntArrayRef sizes) {
  return fmt::format("[{}]", fmt::join(sizes.vec(), ", "));
}

// The checkpoint's tensors under our names. Every problem is a line of one error, in its own names.
io::NamedTensors renamed(std::map<std::string, at::Tensor> tensors, const Names& names,
                         const Model& model, const fs::path& folder,
                         std::vector<std::string>& notes) {
  std::vector<std::string> lines;
  io::NamedTensors ours;
  const auto parameters = model.named_parameters();
  for (const auto& [our_name, their_name] : names) {
    auto found = tensors.extract(their_name);
    if (found.empty()) {
      lines.push_back(fmt::format("\"{}\" is missing", their_name));
      continue;
    }
    const at::Tensor& parameter = parameters[our_name];
    const at::Tensor tensor = to_ours(their_name, found.mapped());
    if (tensor.sizes() != parameter.sizes()) {
      lines.push_back(fmt::format("\"{}\" is {} instead of {}", their_name,
                                  shown(found.mapped().sizes()),
                                  shown(to_theirs(their_name, parameter).sizes())));
      continue;
    }
    if (!tensor.is_floating_point()) {
      lines.push_back(fmt::format("\"{}\" holds {} instead of numbers with a fraction", their_name,
                                  c10::toString(tensor.scalar_type())));
    }
    ours.emplace_back(our_name, tensor);
  }
  for (const auto& [name, tensor] : tensors) {
    if (is_derived(name, model.config())) continue;
    if (is_of_another_head(name)) {
      notes.push_back(fmt::format("\"{}\" is of a head that this {} does not have; it is left out.",
                                  name, in_words(model.config().task)));
    } else {
      lines.push_back(fmt::format("\"{}\" is extra", name));
    }
  }
  if (lines.empty()) return ours;
  throw Error(fmt::format(
      "{}: {} of its tensors do not fit config.json: {}. Use both files of one checkpoint.",
      folder.string(), lines.size(), fmt::join(lines, "; ")));
}

// A mistyped size must not take all memory before the tensors are compared one by one.
void check_size(const ModelConfig& config, const std::map<std::string, at::Tensor>& tensors,
                const std::string& where) {
  double found = 0;
  for (const auto& [name, tensor] : tensors) found += static_cast<double>(tensor.numel());
  const auto c = static_cast<double>(config.width);
  const auto feed_forward = static_cast<double>(config.feed_forward);
  const auto rows =
      static_cast<double>(config.embeddings.vocabulary + config.embeddings.max_positions);
  const double layer = 4 * c * c + 2 * c * feed_forward;
  const double needed = rows * c + static_cast<double>(config.layers) * layer;
  if (needed <= 4 * found + 1e6) return;
  fail(where,
       fmt::format("its sizes make {:.3g} numbers, the checkpoint holds {:.3g}. Use both files of "
                   "one checkpoint.",
                   needed, found));
}

// ---- Pooling of sentence encoders: 1_Pooling/config.json, beside modules.json

constexpr const char* kPoolingFile = "1_Pooling/config.json";

std::optional<Pooling> read_pooling(const fs::path& folder, std::vector<std::string>& notes) {
  const fs::path path = folder / kPoolingFile;
  if (!fs::exists(path)) return std::nullopt;
  const Json json = parse_json(read_file(path), path.string());
  const auto is_on = [&](const char* key) {
    return json.is_object() && json.contains(key) && json.at(key) == true;
  };
  if (is_on("pooling_mode_mean_tokens")) return Pooling::kMean;
  if (is_on("pooling_mode_cls_token")) return Pooling::kCls;
  if (is_on("pooling_mode_max_tokens")) return Pooling::kMax;
  notes.push_back(fmt::format(
      "{} asks for a pooling that is neither mean, cls nor max; mean is used.", path.string()));
  return Pooling::kMean;
}

void write_pooling(const fs::path& folder, const ModelConfig& config) {
  fs::create_directories((folder / kPoolingFile).parent_path());
  const Json pooling = {{"word_embedding_dimension", config.width},
                        {"pooling_mode_cls_token", config.pooling == Pooling::kCls},
                        {"pooling_mode_mean_tokens", config.pooling == Pooling::kMean},
                        {"pooling_mode_max_tokens", config.pooling == Pooling::kMax}};
  replace_file(folder / kPoolingFile, pooling.dump(2) + "\n");
  const Json modules = {{{"idx", 0},
                         {"name", "0"},
                         {"path", ""},
                         {"type", "sentence_transformers.models.Transformer"}},
                        {{"idx", 1},
                         {"name", "1"},
                         {"path", "1_Pooling"},
                         {"type", "sentence_transformers.models.Pooling"}}};
  replace_file(folder / "modules.json", modules.dump(2) + "\n");
}

// ---- From our configuration to transformers'

[[noreturn]] void refuse(const std::string& fact) {
  fail("a directory of transformers", fact + ". Save the model as one of lowrank's.");
}

Type type_of(const ModelConfig& config) {
  const AttentionKind& first = config.attention.front();
  for (const AttentionKind& kind : config.attention) {
    const auto *a = std::get_if<NystromOptions>(&first), *b = std::get_if<NystromOptions>(&kind);
    const bool same = kind.index() == first.index() && (!a || *a == *b);
    if (!same) refuse("its layers must have one kind of attention; this model's differ");
  }
  if (std::holds_alternative<LinformerOptions>(first)) {
    refuse("it has no Linformer attention, which this model has");
  }
  if (std::holds_alternative<NystromOptions>(first)) return Type::kNystromformer;
  return config.embeddings.position_offset == kPositionOffset ? Type::kRoberta : Type::kBert;
}

std::string act_name(nn::Activation activation) {
  if (activation == nn::Activation::kRelu) return "relu";
  return activation == nn::Activation::kGeluTanh ? "gelu_new" : "gelu";
}

// Everything in which a model may differ from those of a type.
void check_expressible(const ModelConfig& config, Type type) {
  const nn::EmbeddingsOptions& embeddings = config.embeddings;
  if (config.norm != nn::NormPosition::kPost)
    refuse("its layers have norm = post, this model's pre");
  if (embeddings.kind != nn::EmbeddingKind::kTokens || embeddings.patch != 1 ||
      embeddings.positions != nn::Positions::kLearned || !embeddings.norm ||
      embeddings.segments < 1) {
    refuse(
        "its embeddings are of tokens, with patch = 1, learned positions, segments and norm; this "
        "model's are not");
  }
  if (embeddings.position_offset != 0 && embeddings.position_offset != kPositionOffset) {
    refuse(fmt::format("its position_offset is 0 or {}, this model's {}", kPositionOffset,
                       embeddings.position_offset));
  }
  if (config.compat.profile != Profile::kNone && config.compat.profile != Profile::kHuggingFace) {
    refuse(fmt::format("it does not compute what compat.profile = \"{}\" does",
                       profile_name(config.compat.profile)));
  }
  if (config.task == Task::kRetrieval) {
    refuse("it has no model that compares two sequences, as this one does");
  }
  if (config.head_width > 0 && config.head_width != config.width) {
    refuse(fmt::format("its heads have head_width = width = {}, this model's {}", config.width,
                       config.head_width));
  }
  Config theirs;
  theirs.type = type;
  const bool pooled = config.task == Task::kClassification || config.task == Task::kMultipleChoice;
  const nn::Activation head = head_activation_of(theirs, config.task, config);
  if (pooled && (config.pooling != Pooling::kCls || config.head_activation != head)) {
    refuse(
        "its classifiers read the first row through a dense layer; this model's pooling and "
        "head_activation are others");
  }
  if (config.task == Task::kMaskedLanguageModel && type == Type::kRoberta &&
      config.activation != nn::Activation::kGelu) {
    refuse("roberta's language model has activation = gelu, this model another");
  }
}

// What transformers' Nystromformer computes otherwise.
std::vector<std::string> differences_of(const NystromOptions& kind, const ModelConfig& config) {
  if (kind.inverse_steps != 6) {
    refuse(fmt::format("its inverse_steps are 6, this model's {}", kind.inverse_steps));
  }
  const bool exact = kind.exact_up_to >= config.embeddings.max_positions;
  if (config.compat.profile == Profile::kHuggingFace) return {};
  if (exact) return {"transformers pads batches, and paddings reach the convolution there."};
  return {
      fmt::format(
          "transformers takes sequences of exactly {} tokens, lets paddings into landmarks and "
          "convolution, and starts the inverse from the maximum of a whole batch; lowrank does "
          "not, so results differ where that matters.",
          config.embeddings.max_positions),
  };
}

Config to_their_config(const ModelConfig& model, std::vector<std::string>& notes) {
  Config config;
  config.type = type_of(model);
  check_expressible(model, config.type);
  const std::string classes[] = {"Bert", "Roberta", "Nystromformer"};
  for (const Head& head : kHeads) {
    if (head.task != model.task || !config.architectures.empty()) continue;
    config.architectures = {classes[static_cast<size_t>(config.type)] + head.suffix};
  }
  config.vocab_size = model.embeddings.vocabulary;
  config.hidden_size = model.width;
  config.num_hidden_layers = model.layers;
  config.num_attention_heads = model.heads;
  config.intermediate_size = model.feed_forward;
  config.hidden_act = act_name(model.activation);
  config.hidden_dropout_prob = model.dropout;
  config.max_position_embeddings = model.embeddings.max_positions;
  if (config.type == Type::kRoberta) config.max_position_embeddings += kPositionOffset;
  config.type_vocab_size = model.embeddings.segments;
  config.layer_norm_eps = model.norm_epsilon;
  config.pad_token_id = config.type == Type::kBert ? 0 : 1;
  config.tie_word_embeddings = model.tied_output;
  for (size_t i = 0; i < model.classes.size(); ++i) {
    config.id2label[std::to_string(i)] = model.classes[i];
  }
  const auto* nystrom = std::get_if<NystromOptions>(&model.attention.front());
  if (!nystrom) return config;
  const bool exact = nystrom->exact_up_to >= model.embeddings.max_positions;
  const bool theirs = model.compat.profile == Profile::kHuggingFace;
  config.num_landmarks = nystrom->landmarks;
  config.segment_means_seq_len = exact    ? nystrom->landmarks
                                 : theirs ? model.compat.segment_length
                                          : model.embeddings.max_positions;
  if (config.segment_means_seq_len % nystrom->landmarks != 0) {
    refuse(fmt::format("its landmarks divide the length; this model's {} do not divide {}",
                       nystrom->landmarks, config.segment_means_seq_len));
  }
  config.conv_kernel_size = nystrom->conv;
  config.inv_coeff_init_option = model.compat.per_matrix_start;
  if (theirs) config.pad_token_id = model.compat.padding_token;
  notes = differences_of(*nystrom, model);
  if (model.task == Task::kEncoder && model.head_activation != nn::Activation::kNone) {
    notes.push_back("nystromformer has no pooler; this model's is left out.");
  }
  return config;
}

Json to_json(const Config& config, const ModelConfig& model) {
  Json json =
      write_config([copy = config](ConfigFields& fields) mutable { describe(fields, copy); });
  json.erase("pruned_heads");
  if (model.classes.empty()) json.erase("id2label");
  for (size_t i = 0; i < model.classes.size(); ++i) json["label2id"][model.classes[i]] = i;
  if (config.type == Type::kNystromformer && config.conv_kernel_size == 0) {
    json["conv_kernel_size"] = nullptr;
  }
  return json;
}

// The table of positions, with rows of no token before it where the type has them and we do not.
at::Tensor shifted_positions(const at::Tensor& positions, const Config& config,
                             const ModelConfig& model) {
  const int64_t theirs = config.type == Type::kBert ? 0 : kPositionOffset;
  const int64_t rows = theirs - model.embeddings.position_offset;
  if (rows == 0) return positions;
  return at::cat({at::zeros({rows, positions.size(1)}, positions.options()), positions});
}

}  // namespace

bool is_hugging_face(const Json& config) {
  return config.is_object() && config.contains("model_type") && !config.contains("format");
}

HuggingFaceModel load_hugging_face(const fs::path& folder, bool fixed) {
  const fs::path path = folder / "config.json";
  const Json json = parse_json(read_file(path), path.string());
  if (!is_hugging_face(json)) {
    fail(path.string(),
         "\"model_type\" is missing; a directory of transformers has it. Check the path.");
  }
  const Config config = read(json, path.string());
  HuggingFaceModel loaded{.model = nullptr, .type = type_name(config.type), .notes = {}};
  const io::LoadedTensors file = io::load_tensors(folder);
  std::map<std::string, at::Tensor> tensors;
  for (const auto& [name, tensor] : file.tensors) tensors[modern(name)] = tensor;
  ModelConfig model_config = to_model_config(config, path.string(), fixed);
  const std::string prefix = prefix_in(tensors, config.type);
  if (model_config.task == Task::kEncoder) {
    if (tensors.count(prefix + "pooler.dense.weight")) {
      model_config.head_activation = nn::Activation::kTanh;
    }
    // The tanh of the pooler is for the first row; sentence encoders take the mean and leave it away.
    if (const auto pooling = read_pooling(folder, loaded.notes)) model_config.pooling = *pooling;
  }
  check(model_config, path.string());
  check_size(model_config, tensors, path.string());
  loaded.model = std::make_shared<Model>(model_config);
  const io::NamedTensors ours =
      renamed(std::move(tensors), names_of(model_config, config.type, prefix), *loaded.model,
              file.path, loaded.notes);
  set_parameters(*loaded.model, ours, file.path.string());
  return loaded;
}

std::vector<std::string> save_hugging_face(const Model& model, const fs::path& folder) {
  const ModelConfig& ours = model.config();
  std::vector<std::string> notes;
  const Config config = to_their_config(ours, notes);
  const Json json = to_json(config, ours);
  replace_file(folder / "config.json", json.dump(2) + "\n");
  const std::string prefix = ours.task == Task::kEncoder ? "" : type_name(config.type) + ".";
  const auto parameters = model.named_parameters();
  io::NamedTensors tensors;
  for (const auto& [our_name, their_name] : names_of(ours, config.type, prefix)) {
    at::Tensor tensor = to_theirs(their_name, parameters[our_name].detach());
    if (our_name == "embeddings.positions") tensor = shifted_positions(tensor, config, ours);
    tensors.emplace_back(their_name, tensor);
  }
  io::save_safetensors(folder / "model.safetensors", tensors, {{"format", "pt"}});
  if (ours.task == Task::kEncoder && ours.pooling != Pooling::kCls) write_pooling(folder, ours);
  return notes;
}

}  // namespace lowrank::models
