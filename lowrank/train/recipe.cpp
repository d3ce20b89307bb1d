// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/recipe.h"

#include <fmt/format.h>

#include <algorithm>
#include <limits>

#include "lowrank/base/file.h"
#include "lowrank/data/glob.h"
#include "lowrank/data/glue.h"
#include "lowrank/train/trainer.h"

namespace lowrank::train {
namespace {

constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
constexpr const char* kSavedRecipe = "recipe.json";

void check_limits(const TrainOptions& options, const std::string& where) {
  if (options.steps > 0 || options.epochs > 0 || options.minutes > 0) return;
  throw Error(
      fmt::format("{}: none of train.steps, train.epochs and train.minutes is set; a run must end. "
                  "Add one, such "
                  "as minutes = 2.",
                  where));
}

// The other tasks are for models that were trained elsewhere.
void check_task(const Recipe& recipe, const std::string& where) {
  const models::Task task = recipe.model.task;
  if (task == models::Task::kMaskedLanguageModel) return;
  const bool tags = data::label_kind_of(recipe.data) == data::LabelKind::kTag;
  if (task == models::Task::kTokenClassification) {
    if (tags) return;
    throw Error(
        fmt::format("{}: model.task = \"token_classification\" learns from labelled words. Set "
                    "data.format = \"conll\".",
                    where));
  }
  if (!models::is_about_classes(task)) {
    throw Error(
        fmt::format("{}: model.task asks for a {}; training knows classification, "
                    "retrieval, token_classification and masked_language_model. Set one of them.",
                    where, models::in_words(task)));
  }
  if (!tags) return;
  throw Error(
      fmt::format("{}: data.format = \"conll\" labels words, model.task is about whole texts. Set "
                  "model.task = \"token_classification\".",
                  where));
}

void check_pairs(const Recipe& recipe, const std::string& where) {
  const bool rows =
      recipe.data.format == data::Format::kTsv || recipe.data.format == data::Format::kJsonl;
  if (recipe.model.task != models::Task::kRetrieval || !rows) return;
  if (!recipe.data.pair_column.empty()) return;
  throw Error(fmt::format(
      "{}: model.task = \"retrieval\" compares two texts, but data.pair_column names no "
      "second one. Set data.pair_column.",
      where));
}

void check_pooling(const Recipe& recipe, const std::string& where) {
  const bool cls =
      models::is_about_classes(recipe.model.task) && recipe.model.pooling == models::Pooling::kCls;
  if (!cls || recipe.train.special_tokens) return;
  throw Error(fmt::format(
      "{}: model.pooling = \"cls\" reads the CLS token, but train.special_tokens is false. Set "
      "train.special_tokens = true, or model.pooling = \"mean\".",
      where));
}

// A longer sequence would stop the run at the first batch that holds one.
void check_lengths(const Recipe& recipe, const std::string& where) {
  const nn::EmbeddingsOptions& embeddings = recipe.model.embeddings;
  if (embeddings.positions == nn::Positions::kNone) return;
  const int64_t rows = (recipe.data.max_length + embeddings.patch - 1) / embeddings.patch;
  if (rows <= embeddings.max_positions) return;
  throw Error(
      fmt::format("{}: data.max_length = {} makes {} rows of {} tokens, but "
                  "model.embeddings.max_positions = {}. "
                  "Lower data.max_length to {}, or raise max_positions.",
                  where, recipe.data.max_length, rows, embeddings.patch, embeddings.max_positions,
                  embeddings.max_positions * embeddings.patch));
}

// Joined documents have no labels.
void check_packed(const Recipe& recipe, const std::string& where) {
  if (!recipe.data.packed || recipe.model.task == models::Task::kMaskedLanguageModel) return;
  throw Error(fmt::format(
      "{}: data.packed = true joins documents, and a {} reads each alone. Leave it out.", where,
      models::in_words(recipe.model.task)));
}

// Two halves of a text that is cut to size are not next to each other, and tokens tell them apart.
void check_sentence_order(const Recipe& recipe, const std::string& where) {
  if (!recipe.model.sentence_order) return;
  const char* missing = nullptr;
  if (!recipe.train.special_tokens) missing = "train.special_tokens = true";
  if (!recipe.data.packed && recipe.data.on_overflow != "chunk") {
    missing = "data.on_overflow = \"chunk\" or data.packed = true";
  }
  if (!missing) return;
  throw Error(fmt::format("{}: model.sentence_order = true without {}. Add it.", where, missing));
}

void check(const Recipe& recipe, const std::string& where) {
  check_limits(recipe.train, where);
  check_task(recipe, where);
  check_pairs(recipe, where);
  check_pooling(recipe, where);
  check_packed(recipe, where);
  check_sentence_order(recipe, where);
  check_lengths(recipe, where);
}

// Over what `recipe` has.
void read_recipe(const Json& json, const std::string& where, Recipe& recipe) {
  read_config(json, where, [&](ConfigFields& fields) { describe(fields, recipe); });
}

// The string at `pointer` with its variables expanded, also in `json`; empty where there is none.
std::string expanded(Json& json, const char* pointer) {
  const Json::json_pointer place(pointer);
  if (!json.contains(place) || !json[place].is_string()) return {};
  const std::string value = data::expand_variables(json[place].get<std::string>());
  json[place] = value;
  return value;
}

// The configuration of the model in `folder`, less what belongs to its task alone.
models::ModelConfig starting_config(const std::string& folder) {
  const TrainedModel from = load_trained(folder);
  models::ModelConfig config = from.model->config();
  const models::ModelConfig defaults;
  config.task = defaults.task;
  config.classes = defaults.classes;
  config.head_activation = defaults.head_activation;
  config.head_width = defaults.head_width;
  config.sentence_order = defaults.sentence_order;
  config.compat = defaults.compat;
  if (config.tokenizer == "files") config.tokenizer = from.folder.string();
  return config;
}

}  // namespace

void describe(ConfigFields& fields, TrainOptions& options) {
  fields.text("output", options.output);
  fields.text("start_from", options.start_from);
  fields.number("steps", options.steps, 0, kMost);
  fields.number("epochs", options.epochs, 0, 1e9);
  fields.number("minutes", options.minutes, 0, 1e9);

  fields.number("learning_rate", options.learning_rate, 0, 1e3);
  fields.number("embedding_learning_rate", options.embedding_learning_rate, 0, 1e3);
  fields.number("beta1", options.betas[0], 0, 1);
  fields.number("beta2", options.betas[1], 0, 1);
  fields.number("epsilon", options.epsilon, 0, 1);
  fields.number("weight_decay", options.weight_decay, 0, 1e3);
  fields.number("clip", options.clip, 0, 1e9);
  fields.choice("schedule", options.schedule,
                {{"constant", Schedule::kConstant},
                 {"linear", Schedule::kLinear},
                 {"cosine", Schedule::kCosine},
                 {"one_cycle", Schedule::kOneCycle}});
  fields.number("warmup", options.warmup, 0, 1);
  fields.number("final_rate", options.final_rate, 0, 1);

  fields.number("batch_size", options.batch_size, 1, 1'000'000);
  fields.number("token_budget", options.token_budget, 0, kMost);
  fields.number("accumulate", options.accumulate, 1, 1'000'000);
  fields.number("random_window", options.random_window, 0, 1);
  fields.flag("special_tokens", options.special_tokens);
  fields.number("mask_share", options.mask_share, 0, 1);
  fields.choice("precision", options.precision,
                {{"float32", Precision::kFloat32}, {"bfloat16", Precision::kBfloat16}});
  fields.text("device", options.device);
  fields.number("threads", options.threads, 0, 4096);
  fields.number("seed", options.seed, 0, kMost);

  fields.number("evaluate_every", options.evaluate_every, 0, kMost);
  fields.number("evaluate_most", options.evaluate_most, 0, kMost);
  fields.choice("metric", options.metric, metric_names());
  fields.number("early_stop", options.early_stop, 0, kMost);
  fields.number("save_every", options.save_every, 0, kMost);
  fields.number("save_minutes", options.save_minutes, 0, 1e9);
  fields.number("log_every", options.log_every, 1, kMost);
}

void describe(ConfigFields& fields, Recipe& recipe) {
  fields.object("data", [&](ConfigFields& inner) { data::describe(inner, recipe.data); });
  fields.object("model", [&](ConfigFields& inner) { models::describe(inner, recipe.model); });
  fields.object("train", [&](ConfigFields& inner) { describe(inner, recipe.train); });
  if (fields.reading()) check(recipe, fields.place());
}

Json to_json(const Recipe& recipe) {
  return write_config([copy = recipe](ConfigFields& fields) mutable { describe(fields, copy); });
}

Recipe load_recipe(const std::filesystem::path& path, const std::vector<std::string>& settings) {
  const std::string where = path.string();
  Json json = parse_toml(read_file(path), where);
  for (const std::string& setting : settings) set_config_value(json, setting);
  const std::string start_from = expanded(json, "/train/start_from");
  const std::string tokenizer = expanded(json, "/model/tokenizer");
  Recipe recipe;
  if (!start_from.empty()) {
    recipe.model = starting_config(start_from);
  } else if (!tokenizer.empty()) {
    recipe.model.embeddings.vocabulary = text::make_tokenizer(tokenizer)->vocabulary();
  }
  read_recipe(json, where, recipe);
  data::require_sources(recipe.data, where + ": data");
  return recipe;
}

void save_recipe(const Recipe& recipe, const std::filesystem::path& folder) {
  replace_file(folder / kSavedRecipe, to_json(recipe).dump(2) + "\n");
}

Recipe load_saved_recipe(const std::filesystem::path& folder) {
  const std::filesystem::path path = folder / kSavedRecipe;
  Recipe recipe;
  read_recipe(parse_json(read_file(path), path.string()), path.string(), recipe);
  return recipe;
}

bool has_saved_recipe(const std::filesystem::path& folder) {
  return std::filesystem::exists(folder / kSavedRecipe);
}

data::Splits load_data(const Recipe& recipe,
                       const std::function<void(int64_t, int64_t)>& progress) {
  data::Splits splits = data::load_splits(recipe.data, progress);
  const bool cut = recipe.data.on_overflow == "chunk";
  if (!recipe.data.packed && !cut) return splits;
  const auto tokenizer = text::make_tokenizer(recipe.model.tokenizer);
  const data::BatchOptions options = batch_options(recipe);
  for (data::Dataset* dataset : {&splits.train, &splits.validation, &splits.test}) {
    *dataset = recipe.data.packed ? data::pack(*dataset, *tokenizer, options)
                                  : data::chunk(*dataset, *tokenizer, options);
  }
  return splits;
}

data::BatchOptions batch_options(const Recipe& recipe) {
  data::BatchOptions options;
  options.batch_size = recipe.train.batch_size;
  options.token_budget = recipe.train.token_budget;
  options.max_length = recipe.data.max_length;
  // "chunk" is data::chunk's work, which a caller does first; what is still too long is cut.
  options.on_overflow = recipe.data.on_overflow == "chunk" ? "truncate" : recipe.data.on_overflow;
  options.special_tokens = recipe.train.special_tokens;
  options.random_window = recipe.train.random_window;
  options.masked = recipe.model.task == models::Task::kMaskedLanguageModel;
  options.separate_pairs = recipe.model.task == models::Task::kRetrieval;
  options.sentence_order = recipe.model.sentence_order;
  options.mask_share = recipe.train.mask_share;
  options.seed = static_cast<uint64_t>(recipe.train.seed);
  return options;
}

Metric metric_of(const Recipe& recipe) {
  const bool glue = recipe.data.format == data::Format::kGlue &&
                    recipe.model.task == models::Task::kClassification;
  if (recipe.train.metric != Metric::kDefault || !glue) return recipe.train.metric;
  const std::string name = data::glue_metric(recipe.data.task);
  const auto is = [&](const auto& entry) { return entry.first == name; };
  return std::find_if(metric_names().begin(), metric_names().end(), is)->second;
}

}  // namespace lowrank::train
