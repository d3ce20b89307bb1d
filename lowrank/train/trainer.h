// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include "lowrank/train/evaluate.h"
#include "lowrank/train/recipe.h"

namespace lowrank::train {

// What a run tells whoever watches it. The library prints nothing.
class Watcher {
 public:
  virtual ~Watcher() = default;
  struct Step {
    int64_t step = 0, epoch = 0;
    double loss = 0, learning_rate = 0, gradient_norm = 0;
    double tokens_per_second = 0;
    double done = 0;  // share of the run, 0 to 1
    double seconds_left = 0;
  };
  virtual void on_start(const models::Model&, const Recipe&) {}
  virtual void on_step(const Step&) {}
  virtual void on_evaluation(int64_t /*step*/, const Evaluation&, bool /*best*/) {}
  virtual void on_save(int64_t /*step*/, const std::filesystem::path&) {}
  virtual void on_note(const std::string&) {}  // a full disk, an early stop ...
};

enum class Ended {
  kDone,
  kEarlyStop,
  kInterrupted,
  kDiskFull,  // a file could not be written; on_note has the reason, last/ is the checkpoint before
};

struct TrainResult {
  Ended ended = Ended::kDone;
  int64_t steps = 0;
  double seconds = 0;                 // of training, this and earlier sittings
  double best = 0;                    // quality() of the best evaluation
  std::filesystem::path best_folder;  // of the best evaluation; without validation data last/
};

// Trains into recipe.train.output:
//   recipe.json    the recipe as run            metrics.jsonl   a line a log or evaluation
//   events.out.*   TensorBoard                  loss.png        the curve
//   best/          model directory of the best evaluation by train.metric, with its recipe.json;
//                  where two are equal, the lower loss is the better
//   last/          checkpoint: best/'s files, optimizer.safetensors, state.json; replaced atomically
//
// `resume` goes on from last/. A run limited by steps or epochs then ends with the same bits as an
// uninterrupted one on the same machine with the same number of threads; only the "seconds" of
// metrics.jsonl differ. A run limited by minutes follows the clock, which no two runs share.
//
// Attention of kind "auto" is measured at the start of a run, which on_note tells of; from there on
// the recipe has the result, and resuming measures nothing.
//
// `stop` (set by a signal handler) ends after the step in progress, or in the middle of an
// evaluation, with last/ saved. Training seeds and uses the process's default random generators.
//
// Throws Error before the first step when the folder cannot be written, lacks space, or holds a run
// and resume is false; when there is nothing to resume, or the recipe or the data are not those of
// the run; and, with the last good checkpoint kept, when the loss stops being a number.
TrainResult train(const Recipe& recipe, const data::Splits& splits, Watcher& watcher, bool resume,
                  const std::atomic<bool>& stop);

// Trains, or goes on with the run in recipe.train.output where there is one. A run that has ended is
// left as it is.
TrainResult train_or_resume(const Recipe& recipe, const data::Splits& splits, Watcher& watcher,
                            const std::atomic<bool>& stop);

// The recipe in a model's folder. Where there is none, as with models from elsewhere, one that says how
// such a model is read: sequences as long as it takes and no longer, special tokens unless they are
// bytes; its data are none.
struct SavedRecipe {
  Recipe recipe;
  bool is_own = false;  // of the folder
};
SavedRecipe recipe_of(const std::filesystem::path& folder, const models::ModelConfig& model);

// Rebuilds what `eval` and `predict` need from a run's or a model's folder.
struct TrainedModel {
  std::shared_ptr<models::Model> model;
  Recipe recipe;                 // the one it was trained with, or recipe_of()'s
  std::filesystem::path folder;  // that the model was read from: <run>/best, or the folder itself
  bool has_recipe = false;
};
TrainedModel load_trained(const std::filesystem::path& folder);

std::shared_ptr<const text::Tokenizer> tokenizer_of(const TrainedModel& trained);

}  // namespace lowrank::train
