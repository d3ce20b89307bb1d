// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/distill.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>

#include "lowrank/data/random.h"
#include "lowrank/text/encode.h"
#include "lowrank/train/autocast.h"
#include "lowrank/train/optimizer.h"
#include "lowrank/train/schedule.h"

namespace lowrank::train {
namespace {

constexpr int64_t kLeastSequences = 16;
constexpr int64_t kPatience = 3;  // evaluations without a better result
constexpr double kWeightDecay = 0.01;

// |x - y|^2 / |y|^2, in float32 at least.
at::Tensor relative_error(const at::Tensor& x, const at::Tensor& y) {
  const at::Tensor wide = y.to(at::kFloat);
  return (x.to(at::kFloat) - wide).square().sum() / wide.square().sum();
}

at::Tensor loss_of(models::Model& student, models::Model& teacher, const models::Inputs& batch) {
  std::vector<at::Tensor> wanted;
  {
    const at::NoGradGuard no_grad;
    wanted = teacher.hidden_states(batch);
  }
  const std::vector<at::Tensor> states = student.hidden_states(batch);
  at::Tensor errors = at::zeros({}, at::kFloat);
  for (size_t i = 1; i < states.size(); ++i) errors = errors + relative_error(states[i], wanted[i]);
  const models::Pooling pooling = teacher.config().pooling;
  const at::Tensor cosine =
      at::cosine_similarity(student.pool({states.back(), batch.offsets}, pooling).to(at::kFloat),
                            teacher.pool({wanted.back(), batch.offsets}, pooling).to(at::kFloat));
  const auto layers = static_cast<double>(std::max<size_t>(states.size() - 1, 1));
  return errors / layers + 1 - cosine.mean();
}

// Every parameter but those of the embeddings.
AdamW optimizer_of(models::Model& student, const DistillOptions& options) {
  TrainOptions train;
  train.learning_rate = options.learning_rate;
  train.weight_decay = kWeightDecay;
  std::vector<ParameterGroup> groups;
  for (ParameterGroup& group : parameter_groups(student, train)) {
    std::erase_if(group.parameters,
                  [](const auto& parameter) { return parameter.first.starts_with("embeddings."); });
    if (!group.parameters.empty()) groups.push_back(std::move(group));
  }
  return {groups, {0.9, 0.98}, 1e-8};
}

// Endless passes over the sequences, each in an order of its own.
class Shuffled {
 public:
  Shuffled(const std::vector<std::vector<int64_t>>& sequences, uint64_t seed)
      : sequences_(sequences), seed_(seed) {}

  models::Inputs next(int64_t count) {
    std::vector<std::vector<int64_t>> taken;
    while (std::ssize(taken) < count) {
      if (next_ == order_.size()) start_pass();
      taken.push_back(sequences_[order_[next_++]]);
    }
    return batches_of(taken, count).front();
  }

 private:
  void start_pass() {
    order_.resize(sequences_.size());
    std::iota(order_.begin(), order_.end(), size_t{0});
    data::Random random({seed_, pass_++});
    random.shuffle(order_);
    next_ = 0;
  }

  const std::vector<std::vector<int64_t>>& sequences_;
  const uint64_t seed_;
  uint64_t pass_ = 0;
  std::vector<size_t> order_;
  size_t next_ = 0;
};

// The embeddings need no gradients meanwhile.
class FrozenEmbeddings {
 public:
  explicit FrozenEmbeddings(models::Model& model) : model_(model) { set(false); }
  ~FrozenEmbeddings() { set(true); }
  FrozenEmbeddings(const FrozenEmbeddings&) = delete;
  FrozenEmbeddings& operator=(const FrozenEmbeddings&) = delete;

 private:
  void set(bool on) {
    for (auto& parameter : model_.named_parameters()) {
      if (parameter.key().starts_with("embeddings.")) parameter->requires_grad_(on);
    }
  }

  models::Model& model_;
};

class Clock {
 public:
  double seconds() const {
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
  }

 private:
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

}  // namespace

DistillData distill_data(const std::vector<std::string>& texts, const text::Tokenizer& tokenizer,
                         int64_t length) {
  std::vector<std::vector<int64_t>> all;
  for (const std::string& text : texts) {
    const text::EncodeOptions options{.max_length = length};
    for (text::Encoded& window : text::encode_windows(tokenizer, text, std::nullopt, options)) {
      if (std::ssize(window.ids) == length) all.push_back(std::move(window.ids));
    }
  }
  const auto count = static_cast<int64_t>(all.size());
  if (count < kLeastSequences) {
    throw Error(
        fmt::format("the texts give {} sequences of {} tokens; {} are needed at least. Give more "
                    "or longer texts.",
                    count, length, kLeastSequences));
  }
  const int64_t held_out = std::clamp<int64_t>(count / 20, 8, 32);
  DistillData data;
  for (int64_t i = 0; i < count; ++i) {
    const bool held = (i + 1) * held_out / count > i * held_out / count;  // evenly spread
    (held ? data.held_out : data.training).push_back(std::move(all[static_cast<size_t>(i)]));
  }
  return data;
}

std::vector<models::Inputs> batches_of(const std::vector<std::vector<int64_t>>& sequences,
                                       int64_t together) {
  std::vector<models::Inputs> batches;
  for (size_t begin = 0; begin < sequences.size(); begin += static_cast<size_t>(together)) {
    std::vector<int64_t> tokens, offsets = {0};
    const size_t end = std::min(sequences.size(), begin + static_cast<size_t>(together));
    for (size_t i = begin; i < end; ++i) {
      tokens.insert(tokens.end(), sequences[i].begin(), sequences[i].end());
      offsets.push_back(std::ssize(tokens));
    }
    batches.push_back({at::tensor(tokens, at::kLong), at::tensor(offsets, at::kLong), {}});
  }
  return batches;
}

DistillResult distill(models::Model& student, models::Model& teacher, const DistillData& data,
                      const DistillOptions& options,
                      const std::function<void(const DistillProgress&)>& progress,
                      const std::atomic<bool>& stop) {
  const Clock clock;
  const std::vector<models::Inputs> held_out = batches_of(data.held_out, options.sequences);
  DistillResult result;
  result.before = result.after = models::compare(student, teacher, held_out);
  const FrozenEmbeddings frozen(student);
  AdamW optimizer = optimizer_of(student, options);
  Shuffled training(data.training, options.seed);
  TrainOptions schedule;
  schedule.schedule = Schedule::kCosine;
  schedule.warmup = 0.05;
  const auto share_done = [&] {
    return options.steps > 0
               ? static_cast<double>(result.steps) / static_cast<double>(options.steps)
               : clock.seconds() / (60 * options.minutes);
  };
  double best = result.before.mean_cosine;
  int64_t evaluated = 0, worse = 0;
  for (double done = share_done(); done < 1; done = share_done()) {
    if (stop) {
      result.ended = DistillResult::Ended::kInterrupted;
      break;
    }
    const models::Inputs batch = training.next(options.sequences);
    optimizer.zero_grad();
    at::Tensor loss;
    {
      const Autocast autocast(at::kCPU, options.precision);
      loss = loss_of(student, teacher, batch);
    }
    loss.backward();
    optimizer.clip(1);
    optimizer.step(rate_share(schedule, done));
    ++result.steps;
    result.tokens += batch.tokens.numel();
    done = share_done();
    if (progress) {
      const double left = done > 0 ? clock.seconds() * (1 - done) / done : 0;
      progress({done, result.steps, loss.item<double>(), result.after.mean_cosine, left});
    }
    if (done < static_cast<double>(evaluated + 1) / static_cast<double>(options.evaluations))
      continue;
    evaluated = static_cast<int64_t>(done * static_cast<double>(options.evaluations));
    result.after = models::compare(student, teacher, held_out);
    if (result.after.mean_cosine >= options.target) {
      result.ended = DistillResult::Ended::kTarget;
      break;
    }
    worse = result.after.mean_cosine > best ? 0 : worse + 1;
    best = std::max(best, result.after.mean_cosine);
    if (worse == kPatience) {
      result.ended = DistillResult::Ended::kNoProgress;
      break;
    }
  }
  optimizer.zero_grad();
  result.after = models::compare(student, teacher, held_out);
  result.seconds = clock.seconds();
  return result;
}

}  // namespace lowrank::train
