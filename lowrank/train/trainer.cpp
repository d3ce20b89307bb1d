// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/trainer.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>
#include <utility>

#include "lowrank/base/file.h"
#include "lowrank/models/derive.h"
#include "lowrank/models/model_directory.h"
#include "lowrank/train/auto_attention.h"
#include "lowrank/train/autocast.h"
#include "lowrank/train/checkpoint.h"
#include "lowrank/train/inputs.h"
#include "lowrank/train/metrics_log.h"
#include "lowrank/train/optimizer.h"
#include "lowrank/train/schedule.h"

namespace lowrank::train {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

// Between two pictures of the curve, which cost some tenths of a second; the last is always drawn.
constexpr double kDrawingSeconds = 10;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// A file of the run could not be written: what ends a run as Ended::kDiskFull.
class WriteFailed : public Error {
 public:
  using Error::Error;
};

// Thrown out of an evaluation by its progress callback when the run is to stop.
struct Stopped {};

at::Device checked_device(const std::string& name) {
  const bool cpu = name == "cpu", cuda = name == "cuda" || name.starts_with("cuda:");
  if (cpu || (cuda && at::hasCUDA())) return at::Device(name);
  throw Error(
      fmt::format("train: train.device = \"{}\"; this build and machine have {}. Set it to "
                  "one of these.",
                  name, at::hasCUDA() ? "cpu and cuda" : "cpu only"));
}

void check_labels(const data::Dataset& dataset) {
  for (const data::Example& example : dataset.examples) {
    if (data::is_labelled(dataset, example)) continue;
    throw Error(
        fmt::format("train: {} has no label; every example needs one. Name its column in "
                    "data.label_column.",
                    example.source));
  }
  if (dataset.label_kind == data::LabelKind::kNumber || dataset.classes.size() >= 2) return;
  throw Error(
      "train: the data has one class, from which nothing can be learned. Name more, or set "
      "data.label_kind = \"number\".");
}

// The recipe with what the data decides: the classes.
Recipe completed(Recipe recipe, const data::Dataset& dataset) {
  if (dataset.examples.empty()) {
    throw Error(
        "train: the training split has no examples. See `lowrank data` for what was dropped.");
  }
  std::vector<std::string>& classes = recipe.model.classes;
  if (recipe.model.task == models::Task::kMaskedLanguageModel) return recipe;
  check_labels(dataset);
  if (classes.empty()) classes = dataset.classes;
  if (classes == dataset.classes) return recipe;
  throw Error(
      fmt::format("train: model.classes names {} classes, the data has {}; they must be the "
                  "same in the same order. Leave model.classes out to take the data's.",
                  classes.size(), dataset.classes.size()));
}

// Throws Error where the data has nothing that train.metric is of.
void check_metric(const Recipe& recipe, const data::Dataset& dataset) {
  Evaluation nothing = dataset.label_kind == data::LabelKind::kNumber
                           ? score_numbers({}, {}, "")
                           : score({}, {}, recipe.model.classes);
  if (recipe.model.task == models::Task::kMaskedLanguageModel) nothing.measured = Measured::kMasked;
  if (recipe.model.task == models::Task::kTokenClassification) {
    nothing.measured = Measured::kTags;
    if (are_span_tags(recipe.model.classes)) nothing.spans = SpanScore();
  }
  quality(nothing, metric_of(recipe));
}

// "model.width" of the first key whose value differs; empty where there is none.
std::string differing_key(const Json& a, const Json& b) {
  const Json patch = Json::diff(a, b);
  if (patch.empty()) return {};
  std::string key = patch[0]["path"].get<std::string>().substr(1);
  std::replace(key.begin(), key.end(), '/', '.');
  return key;
}

// What decides the model and its batches; the rest, such as train.steps, may change on resuming.
Json fixed_part(const Recipe& recipe) {
  const Json all = to_json(recipe);
  Json fixed = {{"data", all["data"]}, {"model", all["model"]}, {"train", Json::object()}};
  for (const char* key : {"batch_size", "token_budget", "accumulate", "random_window",
                          "special_tokens", "mask_share", "seed"}) {
    fixed["train"][key] = all["train"][key];
  }
  return fixed;
}

// The recipe with what the run in `last` measured at its start.
Recipe resumable(const fs::path& last, const Recipe& recipe) {
  if (!fs::exists(last)) {
    throw Error(
        fmt::format("train: {} is missing; there is nothing to resume. Start without --resume.",
                    last.string()));
  }
  const Recipe saved = load_saved_recipe(last), complete = with_attention_of(recipe, saved);
  const std::string key = differing_key(fixed_part(saved), fixed_part(complete));
  if (key.empty()) return complete;
  throw Error(
      fmt::format("train: the recipe's {} differs from the run's in {}; a run goes on with its "
                  "own model and data. Set it back, or start in another train.output.",
                  key, last.string()));
}

void check_unused(const fs::path& output) {
  if (!fs::exists(output / "last") && !fs::exists(output / "best")) return;
  throw Error(
      fmt::format("train: {} already holds a run. Go on with it by --resume, set train.output to "
                  "another folder, or remove this one.",
                  output.string()));
}

// What decides the model's results must not hang on the machine that reads it: the recipe has the
// number from here on.
Recipe measured(const Recipe& recipe, Watcher& watcher) {
  checked_device(recipe.train.device);
  const auto measure = [](const NystromOptions& nystrom, const AttentionShape& shape,
                          int64_t longest) { return measure_crossover(nystrom, shape, longest); };
  return with_measured_attention(recipe, measure,
                                 [&](const std::string& note) { watcher.on_note(note); });
}

// A long list of parameters as a message has room for it.
std::string shown(const std::vector<std::string>& names) {
  constexpr size_t kMost = 4;
  if (names.empty()) return "none";
  const std::string all = fmt::format(
      "{}", fmt::join(names.begin(),
                      names.begin() + static_cast<int64_t>(std::min(names.size(), kMost)), ", "));
  return names.size() > kMost ? fmt::format("{} and {} more", all, names.size() - kMost) : all;
}

void start_from(const std::string& folder, models::Model& model, Watcher& watcher) {
  const TrainedModel from = load_trained(folder);
  const models::Inherited inherited = models::inherit(model, *from.model);
  watcher.on_note(fmt::format("Starts from {}; new: {}; unused: {}.", from.folder.string(),
                              shown(inherited.fresh), shown(inherited.unused)));
}

std::shared_ptr<models::Model> make_model(const Recipe& recipe, bool resume, Watcher& watcher) {
  at::manual_seed(static_cast<uint64_t>(recipe.train.seed));
  if (resume) return models::load_model(fs::path(recipe.train.output) / "last");
  models::ModelConfig config = recipe.model;
  // Its files are saved with the model, which is then whole wherever its folder goes.
  if (fs::is_directory(config.tokenizer)) config.tokenizer = "files";
  const auto model = std::make_shared<models::Model>(config);
  if (!recipe.train.start_from.empty()) start_from(recipe.train.start_from, *model, watcher);
  return model;
}

void check_vocabulary(const models::ModelConfig& config, const text::Tokenizer& tokenizer) {
  const nn::EmbeddingsOptions& embeddings = config.embeddings;
  if (tokenizer.vocabulary() <= embeddings.vocabulary) return;
  throw Error(
      fmt::format("train: model.embeddings.vocabulary = {}; the tokenizer has {} tokens. Leave "
                  "the key out to take the tokenizer's number.",
                  embeddings.vocabulary, tokenizer.vocabulary()));
}

// Two checkpoints (the new one is written beside the old) of the parameters and AdamW's two moments.
size_t checkpoint_bytes(const models::Model& model) {
  size_t bytes = 0;
  for (const at::Tensor& parameter : model.parameters()) bytes += parameter.nbytes();
  return 2 * 3 * bytes;
}

// One sitting of a run.
class Run {
 public:
  Run(const Recipe& recipe, const data::Splits& splits, Watcher& watcher, bool resume,
      const std::atomic<bool>& stop)
      : recipe_(recipe),
        options_(recipe_.train),
        output_(options_.output),
        watcher_(watcher),
        stop_(stop),
        validation_(data::evenly_spread(splits.validation, options_.evaluate_most)),
        device_(checked_device(options_.device)),
        model_(make_model(recipe_, resume, watcher)),
        tokenizer_(text::make_tokenizer(recipe_.model.tokenizer)) {
    check_vocabulary(recipe_.model, *tokenizer_);
    model_->to(device_);
    optimizer_.emplace(*model_, options_);
    require_writable(output_, checkpoint_bytes(*model_));
    const std::string data = fingerprint(splits.train);
    if (resume) {
      state_ = load_checkpoint(output_ / "last", *model_, *optimizer_);
      check_data(data);
    }
    state_.data = data;
    batches_.emplace(splits.train, tokenizer_, batch_options(recipe_), state_.sampler);
    epoch_batches_ = batches_->batches_per_epoch();
    log_.emplace(output_, resume ? std::optional(state_.step) : std::nullopt);
    save_recipe(recipe_, output_);
    unsaved_ = !resume;
  }

  TrainResult run() {
    earlier_seconds_ = state_.seconds;
    start_ = last_save_ = Clock::now();
    start_share_ = share_done();
    watcher_.on_start(*model_, recipe_);
    if (unsaved_) save();  // shows before the first step that a checkpoint can be written
    TrainResult result;
    try {
      result.ended = train_until_the_end();
      if (unsaved_) write([&] { save(); });
    } catch (const WriteFailed& error) {
      watcher_.on_note(error.what());
      result.ended = Ended::kDiskFull;
    }
    draw();
    result.steps = state_.step;
    result.seconds = elapsed();
    result.best = state_.best.value_or(0);
    result.best_folder = output_ / (fs::exists(output_ / "best") ? "best" : "last");
    return result;
  }

 private:
  Ended train_until_the_end() {
    model_->train();
    while (true) {
      const double share = share_done();
      const bool finished = share >= 1;
      log_if_due(finished);
      if (evaluation_due(finished) && !evaluate()) return Ended::kInterrupted;
      if (stop_) return Ended::kInterrupted;
      if (save_due()) write([&] { save(); });
      if (finished) return Ended::kDone;
      if (early_stop_due()) {
        watcher_.on_note(fmt::format("Stopped early: {} evaluations without a better result.",
                                     state_.evaluations_since_best));
        return Ended::kEarlyStop;
      }
      step(share);
    }
  }

  // The share of the run that is behind it, by whichever limit is nearest.
  double share_done() const {
    double share = 0;
    if (options_.steps > 0) {
      share = static_cast<double>(state_.step) / static_cast<double>(options_.steps);
    }
    if (options_.epochs > 0) share = std::max(share, epochs_done() / options_.epochs);
    if (options_.minutes > 0) share = std::max(share, elapsed() / (60 * options_.minutes));
    return share;
  }

  double epochs_done() const {
    return static_cast<double>(state_.sampler.epoch) +
           static_cast<double>(state_.sampler.batch) / static_cast<double>(epoch_batches_);
  }

  double elapsed() const { return earlier_seconds_ + seconds_since(start_); }

  void step(double share) {
    const Clock::time_point begin = Clock::now();
    optimizer_->zero_grad();
    double loss = 0;
    for (int64_t i = 0; i < options_.accumulate; ++i) loss += accumulate(batches_->next());
    const double norm = optimizer_->clip(options_.clip);
    check_finite("loss", loss);
    check_finite("gradient's norm", norm);
    const double rate = rate_share(options_, share);
    optimizer_->step(rate);

    ++state_.step;
    set_sampler(batches_->state());
    state_.loss_sum += loss;
    ++state_.loss_steps;
    state_.learning_rate = options_.learning_rate * rate;
    state_.gradient_norm = norm;
    unsaved_ = true;
    sitting_seconds_ += seconds_since(begin);
    report_step(loss);
  }

  void set_sampler(const data::SamplerState& sampler) {
    // Counting an epoch's batches plans them all.
    if (sampler.epoch != state_.sampler.epoch) epoch_batches_ = batches_->batches_per_epoch();
    state_.sampler = sampler;
  }

  // Adds a batch's share of the gradient; returns its share of the loss.
  double accumulate(const data::Batch& batch) {
    at::Tensor loss;
    {
      const Autocast autocast(device_, options_.precision);
      loss = model_->loss(inputs_for(*model_, batch), batch.labels.to(device_), batch.order);
    }
    loss = loss / options_.accumulate;
    loss.backward();
    state_.tokens += batch.total();
    sitting_tokens_ += batch.total();
    return loss.item<double>();
  }

  void check_finite(const char* what, double value) const {
    if (std::isfinite(value)) return;
    throw Error(
        fmt::format("train: the {} is {} in step {}. Lower train.learning_rate, or lengthen "
                    "train.warmup; {} holds the last good checkpoint.",
                    what, value, state_.step + 1, (output_ / "last").string()));
  }

  void report_step(double loss) {
    const double share = std::min(share_done(), 1.0);
    const double gained = share - start_share_;
    Watcher::Step step;
    step.step = state_.step;
    step.epoch = state_.sampler.epoch;
    step.loss = loss;
    step.learning_rate = state_.learning_rate;
    step.gradient_norm = state_.gradient_norm;
    step.tokens_per_second = static_cast<double>(sitting_tokens_) / sitting_seconds_;
    step.done = share;
    step.seconds_left = gained > 0 ? seconds_since(start_) / gained * (1 - share) : 0;
    watcher_.on_step(step);
  }

  void log_if_due(bool finished) {
    if (state_.loss_steps == 0 || (state_.step % options_.log_every != 0 && !finished)) return;
    MetricsLog::Training line;
    line.step = state_.step;
    line.epoch = epochs_done();
    line.loss = state_.loss_sum / static_cast<double>(state_.loss_steps);
    line.learning_rate = state_.learning_rate;
    line.gradient_norm = state_.gradient_norm;
    line.tokens = state_.tokens;
    line.seconds = elapsed();
    write([&] { log_->add(line); });
    state_.loss_sum = 0;
    state_.loss_steps = 0;
  }

  bool evaluation_due(bool finished) const {
    if (validation_.examples.empty() || state_.step == 0 || state_.evaluated_step == state_.step) {
      return false;
    }
    if (finished) return true;
    if (options_.evaluate_every > 0) return state_.step % options_.evaluate_every == 0;
    return static_cast<int64_t>(epochs_done()) > state_.evaluated_epochs;
  }

  // False where `stop` ended it; the next sitting then does it again.
  bool evaluate() {
    Evaluation evaluation;
    try {
      evaluation = train::evaluate(*model_, validation_, *tokenizer_, batch_options(recipe_),
                                   [&](int64_t, int64_t) {
                                     if (stop_) throw Stopped();
                                   });
    } catch (const Stopped&) {
      return false;
    }
    const bool best = take_if_best(evaluation);
    state_.evaluations_since_best = best ? 0 : state_.evaluations_since_best + 1;
    state_.evaluated_step = state_.step;
    state_.evaluated_epochs = static_cast<int64_t>(epochs_done());
    unsaved_ = true;
    write([&] {
      log_->add(state_.step, elapsed(), evaluation, metric_of(recipe_), best);
      if (best) save_trained(output_ / "best", *model_, recipe_);
    });
    if (seconds_since(last_drawing_) >= kDrawingSeconds) draw();
    watcher_.on_evaluation(state_.step, evaluation, best);
    return true;
  }

  // Of equal results, of which a small validation split has many, the lower loss is the better.
  bool take_if_best(const Evaluation& evaluation) {
    const double result = quality(evaluation, metric_of(recipe_));
    const bool best = !state_.best || std::pair(result, -evaluation.loss) >
                                          std::pair(*state_.best, -state_.best_loss.value_or(0));
    if (!best) return false;
    state_.best = result;
    state_.best_loss = evaluation.loss;
    return true;
  }

  bool early_stop_due() const {
    return options_.early_stop > 0 && state_.evaluations_since_best >= options_.early_stop;
  }

  bool save_due() const {
    if (!unsaved_) return false;
    if (options_.save_minutes > 0 && seconds_since(last_save_) >= 60 * options_.save_minutes) {
      return true;
    }
    if (options_.save_every > 0) return state_.step % options_.save_every == 0;
    return state_.evaluated_step == state_.step;
  }

  void save() {
    state_.seconds = elapsed();
    save_checkpoint(output_ / "last", *model_, recipe_, *optimizer_, state_);
    last_save_ = Clock::now();
    unsaved_ = false;
    watcher_.on_save(state_.step, output_ / "last");
  }

  void draw() {
    last_drawing_ = Clock::now();
    std::string reason;
    if (drawing_fails_ || log_->draw(&reason)) return;
    drawing_fails_ = true;  // one note is enough
    watcher_.on_note(fmt::format("loss.png was not drawn: {}", reason));
  }

  template <class Action>
  void write(const Action& action) {
    try {
      action();
    } catch (const Error& error) {
      throw WriteFailed(error.what());
    }
  }

  void check_data(const std::string& data) const {
    if (data == state_.data) return;
    throw Error(
        fmt::format("train: the training examples have changed since {} was saved; a run goes "
                    "on with its own data. Bring them back, or start in another train.output.",
                    (output_ / "last").string()));
  }

  const Recipe recipe_;
  const TrainOptions& options_;
  const fs::path output_;
  Watcher& watcher_;
  const std::atomic<bool>& stop_;
  const data::Dataset validation_;
  const at::Device device_;
  std::shared_ptr<models::Model> model_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  std::optional<AdamW> optimizer_;
  std::optional<data::TrainingBatches> batches_;
  std::optional<MetricsLog> log_;

  RunState state_;
  int64_t epoch_batches_ = 0;  // of the epoch in progress
  bool unsaved_ = false;
  bool drawing_fails_ = false;

  Clock::time_point start_ = Clock::now(), last_save_ = start_, last_drawing_ = start_;
  double earlier_seconds_ = 0, start_share_ = 0;
  double sitting_seconds_ = 0;  // in steps, this sitting
  int64_t sitting_tokens_ = 0;
};

}  // namespace

TrainResult train(const Recipe& recipe, const data::Splits& splits, Watcher& watcher, bool resume,
                  const std::atomic<bool>& stop) {
  Recipe complete = completed(recipe, splits.train);
  check_metric(complete, splits.train);
  const fs::path output = recipe.train.output;
  for (const char* name : {"last", "best"}) restore_directory(output / name);
  if (recipe.train.threads > 0) at::set_num_threads(static_cast<int>(recipe.train.threads));
  if (resume) {
    complete = resumable(output / "last", complete);
  } else {
    check_unused(output);
    complete = measured(complete, watcher);
  }
  return Run(complete, splits, watcher, resume, stop).run();
}

TrainResult train_or_resume(const Recipe& recipe, const data::Splits& splits, Watcher& watcher,
                            const std::atomic<bool>& stop) {
  const fs::path last = fs::path(recipe.train.output) / "last";
  restore_directory(last);
  return train(recipe, splits, watcher, /*resume=*/fs::exists(last), stop);
}

SavedRecipe recipe_of(const std::filesystem::path& folder, const models::ModelConfig& model) {
  if (has_saved_recipe(folder)) return {.recipe = load_saved_recipe(folder), .is_own = true};
  Recipe recipe;
  recipe.model = model;
  recipe.data.max_length = models::longest_sequence(model);
  recipe.data.on_overflow = "error";
  recipe.train.special_tokens = model.tokenizer != "bytes";
  return {.recipe = std::move(recipe)};
}

TrainedModel load_trained(const std::filesystem::path& folder) {
  const fs::path found = models::find_model(folder);
  const std::shared_ptr<models::Model> model = models::load_model(found);
  SavedRecipe saved = recipe_of(found, model->config());
  if (model->config().tokenizer == "files") saved.recipe.model.tokenizer = found.string();
  return {model, saved.recipe, found, saved.is_own};
}

std::shared_ptr<const text::Tokenizer> tokenizer_of(const TrainedModel& trained) {
  return text::make_tokenizer(trained.model->config().tokenizer, trained.folder);
}

}  // namespace lowrank::train
