// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "lowrank/base/config.h"
#include "lowrank/data/batch.h"
#include "lowrank/models/config.h"
#include "lowrank/train/metrics.h"

namespace lowrank::train {

enum class Schedule { kConstant, kLinear, kCosine, kOneCycle };
enum class Precision { kFloat32, kBfloat16 };

// The [train] table of a recipe. Keys are the field names.
struct TrainOptions {
  std::string output = "runs/model";  // the run's folder
  // A run's or a model's folder whose weights are the first ones (models::inherit); empty: drawn. What
  // the recipe's [model] leaves out is that model's, its task and its classes aside.
  std::string start_from = {};

  // The run ends when the first of those set is reached (0: not set); one must be.
  int64_t steps = 0;  // optimizer steps
  double epochs = 0;
  double minutes = 0;  // by the clock; the schedule then follows the clock too

  double learning_rate = 1e-3;
  double embedding_learning_rate = 0;         // of the token and n-gram tables; 0: learning_rate
  std::array<double, 2> betas = {0.9, 0.98};  // keys beta1, beta2
  double epsilon = 1e-8;
  double weight_decay = 0.01;  // of matrices; biases, norms and embedding tables get none
  double clip = 1;             // largest norm of the whole gradient; 0: none
  Schedule schedule = Schedule::kCosine;
  double warmup = 0.05;   // share of the run
  double final_rate = 0;  // share of the learning rate at the end

  int64_t batch_size = 8;
  int64_t token_budget = 0;
  int64_t accumulate = 1;  // batches a step
  double random_window = 0;
  bool special_tokens = false;
  double mask_share = 0.15;
  Precision precision = Precision::kFloat32;
  std::string device = "cpu";
  int64_t threads = 0;  // 0: LibTorch's default
  int64_t seed = 0;

  int64_t evaluate_every = 0;        // steps; 0: at the end of each epoch, and of the run
  int64_t evaluate_most = 0;         // validation examples used while training; 0: all
  Metric metric = Metric::kDefault;  // what makes an evaluation the best
  int64_t early_stop = 0;            // evaluations without a better result; 0: never
  int64_t save_every = 0;            // steps; 0: at each evaluation
  double save_minutes = 10;          // also after so much time; 0: never
  int64_t log_every = 20;            // steps
};

// What `lowrank train` runs.
struct Recipe {
  data::DataOptions data;
  models::ModelConfig model;
  TrainOptions train;
};

void describe(ConfigFields& fields, TrainOptions& options);
void describe(ConfigFields& fields, Recipe& recipe);
Json to_json(const Recipe& recipe);

// Reads a TOML recipe, applies `settings` ("train.steps=100") and checks every key and value. Variables
// in model.tokenizer and train.start_from are expanded as in globs. Without
// model.embeddings.vocabulary the model's is the tokenizer's.
Recipe load_recipe(const std::filesystem::path& path,
                   const std::vector<std::string>& settings = {});

// recipe.json of a run's or a model's folder: the recipe as it was run.
void save_recipe(const Recipe& recipe, const std::filesystem::path& folder);
Recipe load_saved_recipe(const std::filesystem::path& folder);
bool has_saved_recipe(const std::filesystem::path& folder);

// Reads the recipe's data as training takes them: cut into pieces where data.on_overflow = "chunk",
// joined first where data.packed. `progress` as of data::load_splits.
data::Splits load_data(const Recipe& recipe,
                       const std::function<void(int64_t, int64_t)>& progress = {});

// Batches of the recipe for evaluation, prediction and training.
data::BatchOptions batch_options(const Recipe& recipe);

// train.metric, or where that is "default" and the data is GLUE's the metric of its task.
Metric metric_of(const Recipe& recipe);

}  // namespace lowrank::train
