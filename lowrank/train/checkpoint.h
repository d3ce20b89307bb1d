// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "lowrank/data/batch.h"
#include "lowrank/models/model.h"
#include "lowrank/train/optimizer.h"
#include "lowrank/train/recipe.h"

namespace lowrank::train {

// Where a run stands after `step` steps. Keys of state.json are the field names.
struct RunState {
  int64_t step = 0;
  data::SamplerState sampler;       // keys epoch, batch
  int64_t tokens = 0;               // trained on
  double seconds = 0;               // of the clock, all sittings
  int64_t evaluated_step = -1;      // of the last evaluation; -1: none yet
  int64_t evaluated_epochs = 0;     // whole epochs done by then
  std::optional<double> best;       // result of the best evaluation
  std::optional<double> best_loss;  // and its loss
  int64_t evaluations_since_best = 0;
  double loss_sum = 0;  // over the steps since the last line of metrics.jsonl
  int64_t loss_steps = 0;
  double learning_rate = 0, gradient_norm = 0;  // of the last step
  std::string data;                             // fingerprint of the training examples
};

void describe(ConfigFields& fields, RunState& state);

// A model directory with the recipe that made it, replaced atomically.
void save_trained(const std::filesystem::path& folder, const models::Model& model,
                  const Recipe& recipe);

// The same with optimizer.safetensors and state.json: all that a run needs to go on to the same
// bits, the state of the random generators of the CPU and of `device` included.
void save_checkpoint(const std::filesystem::path& folder, const models::Model& model,
                     const Recipe& recipe, const AdamW& optimizer, const RunState& state);

// Sets optimizer and random generators as they were; the model is the one that models::load_model
// reads from the same folder.
RunState load_checkpoint(const std::filesystem::path& folder, const models::Model& model,
                         AdamW& optimizer);

// A hash of the texts and labels, in order, in hexadecimal digits.
std::string fingerprint(const data::Dataset& dataset);

}  // namespace lowrank::train
