// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/distill.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <numeric>
#include <optional>

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
// Adam's first steps move every weight by the whole rate, whatever its gradient; a pretrained model would
// not stand that, however short the run is.
constexpr double kWarmSteps = 25;

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

  int64_t passes() const { return static_cast<int64_t>(pass_); }
  int64_t taken() const { return static_cast<int64_t>(next_); }

  // Goes to where another one was after so many.
  void go_to(int64_t passes, int64_t taken) {
    if (passes == 0) return;
    pass_ = static_cast<uint64_t>(passes - 1);
    start_pass();
    next_ = std::min(static_cast<size_t>(taken), order_.size());
  }

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

// One sitting.
class Distillation {
 public:
  Distillation(models::Model& student, models::Model& teacher, const DistillData& data,
               const DistillOptions& options)
      : student_(student),
        teacher_(teacher),
        options_(options),
        held_out_(batches_of(data.held_out, options.sequences)),
        wanted_(models::pooled_vectors(teacher, teacher.config().pooling, held_out_)),
        frozen_(student),
        optimizer_(optimizer_of(student, options)),
        training_(data.training, options.seed) {
    schedule_.schedule = Schedule::kCosine;
    schedule_.warmup = 0.05;
  }

  DistillResult run(const std::function<void(const DistillProgress&)>& progress,
                    const std::atomic<bool>& stop, const DistillState* from) {
    begin(from);
    DistillResult result;
    result.ended = learn(progress, stop);
    optimizer_.zero_grad();
    state_.seconds = seconds();
    result.steps = state_.steps;
    result.tokens = state_.tokens;
    result.before = state_.before;
    result.after = models::compare(student_, teacher_, held_out_);
    result.seconds = seconds();
    result.state = std::move(state_);
    if (result.ended == Ended::kInterrupted) result.state.optimizer = optimizer_.state();
    return result;
  }

 private:
  using Ended = DistillResult::Ended;

  void begin(const DistillState* from) {
    if (!from) {
      state_.before = models::compare(student_, teacher_, held_out_);
      state_.cosine = state_.before.mean_cosine;
      clock_ = Clock();
      return;
    }
    state_ = *from;
    earlier_ = from->seconds;
    optimizer_.load_state(state_.optimizer, "the distillation's state");
    training_.go_to(state_.passes, state_.taken);
  }

  double seconds() const { return earlier_ + clock_.seconds(); }

  double share_done() const {
    return options_.steps > 0
               ? static_cast<double>(state_.steps) / static_cast<double>(options_.steps)
               : seconds() / (60 * options_.minutes);
  }

  Ended learn(const std::function<void(const DistillProgress&)>& progress,
              const std::atomic<bool>& stop) {
    for (double done = share_done(); done < 1; done = share_done()) {
      if (stop) return Ended::kInterrupted;
      const double loss = step(done);
      done = share_done();
      if (progress) {
        const double left = done > 0 ? seconds() * (1 - done) / done : 0;
        progress({done, state_.steps, loss, state_.cosine, left});
      }
      const auto next = static_cast<double>(state_.evaluated + 1);
      if (done < next / static_cast<double>(options_.evaluations)) continue;
      const std::optional<Ended> ended = evaluate(done);
      if (ended) return *ended;
    }
    return Ended::kDone;
  }

  // `done` of the run lies behind it. Returns the loss.
  double step(double done) {
    const models::Inputs batch = training_.next(options_.sequences);
    optimizer_.zero_grad();
    at::Tensor loss;
    {
      const Autocast autocast(at::kCPU, options_.precision);
      loss = loss_of(student_, teacher_, batch);
    }
    loss.backward();
    optimizer_.clip(1);
    const double warm = static_cast<double>(state_.steps + 1) / kWarmSteps;
    optimizer_.step(rate_share(schedule_, done) * std::min(1.0, warm));
    ++state_.steps;
    state_.tokens += batch.tokens.numel();
    state_.passes = training_.passes();
    state_.taken = training_.taken();
    return loss.item<double>();
  }

  // Why this evaluation ends the run, if it does.
  std::optional<Ended> evaluate(double done) {
    state_.evaluated = static_cast<int64_t>(done * static_cast<double>(options_.evaluations));
    const at::Tensor found = models::pooled_vectors(student_, teacher_.config().pooling, held_out_);
    state_.cosine = at::cosine_similarity(found, wanted_).mean().item<double>();
    if (state_.cosine >= options_.target) return Ended::kTarget;
    const bool counts = done > 0.5;
    state_.worse = !counts || state_.cosine > state_.best ? 0 : state_.worse + 1;
    state_.best = std::max(state_.best, state_.cosine);
    if (state_.worse == kPatience) return Ended::kNoProgress;
    return std::nullopt;
  }

  models::Model &student_, &teacher_;
  const DistillOptions& options_;
  const std::vector<models::Inputs> held_out_;
  const at::Tensor wanted_;  // the teacher's vectors of those
  const FrozenEmbeddings frozen_;
  Clock clock_;
  AdamW optimizer_;
  Shuffled training_;
  TrainOptions schedule_;
  DistillState state_;
  double earlier_ = 0;  // seconds of the sittings before
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
                      const std::atomic<bool>& stop, const DistillState* from) {
  return Distillation(student, teacher, data, options).run(progress, stop, from);
}

}  // namespace lowrank::train
