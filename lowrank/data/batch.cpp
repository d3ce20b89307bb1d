// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/batch.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <optional>

#include "lowrank/base/error.h"
#include "lowrank/data/batch_plan.h"
#include "lowrank/data/prefetch.h"
#include "lowrank/data/random.h"

namespace lowrank::data {
namespace {

at::Tensor to_tensor(const std::vector<int64_t>& values) {
  at::Tensor tensor = at::empty({std::ssize(values)}, at::kLong);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<int64_t>());
  return tensor;
}

at::Tensor to_tensor(const std::vector<float>& values) {
  at::Tensor tensor = at::empty({std::ssize(values)}, at::kFloat);
  std::copy(values.begin(), values.end(), tensor.mutable_data_ptr<float>());
  return tensor;
}

// What the random choices of an example hang on; the last number keeps their streams apart.
enum class Stream : uint64_t { kWindow = 1, kMask = 2, kOrder = 3 };

Random random_of(Stream stream, const BatchOptions& options, int64_t epoch, int64_t example) {
  return Random({options.seed, static_cast<uint64_t>(epoch), static_cast<uint64_t>(example),
                 static_cast<uint64_t>(stream)});
}

int64_t random_token(const text::Tokenizer& tokenizer, Random& random) {
  while (true) {
    const auto id =
        static_cast<int64_t>(random.below(static_cast<uint64_t>(tokenizer.vocabulary())));
    if (!tokenizer.is_special(id)) return id;
  }
}

// BERT's masking: chooses mask_share of the tokens that are not special, one at least, and makes 80 %
// of them MASK and 10 % a random token. Returns the labels.
std::vector<int64_t> mask_tokens(std::vector<int64_t>& tokens, const text::Tokenizer& tokenizer,
                                 double share, Random random) {
  const auto is_plain = [&](int64_t id) { return !tokenizer.is_special(id); };
  int64_t left = std::count_if(tokens.begin(), tokens.end(), is_plain);
  int64_t wanted = std::max<int64_t>(1, std::llround(share * static_cast<double>(left)));
  std::vector<int64_t> labels(tokens.size(), kNoLoss);
  for (size_t i = 0; i < tokens.size() && wanted > 0; ++i) {
    if (!is_plain(tokens[i])) continue;
    // Each remaining token with wanted / left: exactly `wanted` in the end.
    const bool chosen = random.below(static_cast<uint64_t>(left--)) < static_cast<uint64_t>(wanted);
    if (!chosen) continue;
    --wanted;
    labels[i] = tokens[i];
    const double kind = random.uniform();
    if (kind < 0.8) {
      tokens[i] = tokenizer.mask().value();
    } else if (kind < 0.9) {
      tokens[i] = random_token(tokenizer, random);
    }
  }
  return labels;
}

// The text as a pair of its halves.
Example as_pair(const Example& example, bool swapped) {
  if (!example.pair.empty()) {
    throw Error(fmt::format("{}: a pair; sentence_order cuts single texts in two. Leave it out.",
                            example.source));
  }
  auto [first, second] = halves(example.text);
  if (swapped) std::swap(first, second);
  return {.text = std::string(first),
          .pair = std::string(second),
          .label = example.label,
          .source = example.source};
}

void check(const BatchOptions& options) {
  const auto require = [](bool met, const char* name, const auto& value, const char* rule) {
    if (!met) throw Error(fmt::format("{} = {}; it must be {}.", name, value, rule));
  };
  require(options.batch_size >= 1, "batch_size", options.batch_size, "at least 1");
  require(options.token_budget >= 0, "token_budget", options.token_budget, "0 or more");
  require(options.max_length >= 1, "max_length", options.max_length, "at least 1");
  require(options.bucket >= 1, "bucket", options.bucket, "at least 1");
  require(options.random_window >= 0 && options.random_window <= 1, "random_window",
          options.random_window, "from 0 to 1");
  require(options.mask_share > 0 && options.mask_share <= 1, "mask_share", options.mask_share,
          "above 0 and at most 1");
  const bool known = options.on_overflow == "truncate" || options.on_overflow == "error" ||
                     options.on_overflow == "chunk";
  require(known, "on_overflow", options.on_overflow, "truncate, error or chunk");
}

// Makes the batches of a dataset. Holds nothing that changes: safe to share between threads.
class BatchBuilder {
 public:
  BatchBuilder(const Dataset& dataset, std::shared_ptr<const text::Tokenizer> tokenizer,
               const BatchOptions& options)
      : dataset_(dataset), tokenizer_(std::move(tokenizer)), options_(options) {
    check(options);
    if (options.masked && !tokenizer_->mask()) {
      throw Error(
          "data: the tokenizer has no mask token; a masked language model predicts through one. "
          "Use "
          "a tokenizer that has it, such as BERT's or RoBERTa's.");
    }
    if (dataset.examples.empty()) {
      throw Error("data: the dataset has no examples. Batches need at least one.");
    }
    lengths_.reserve(dataset.examples.size());
    for (const Example& example : dataset.examples) {
      int64_t length = 0;
      for (const EncodedExample& sequence : sequences_of(example, /*swapped=*/false, 0)) {
        length += std::ssize(sequence.tokens);
      }
      lengths_.push_back(length);
    }
  }

  const BatchOptions& options() const { return options_; }
  const std::vector<int64_t>& lengths() const { return lengths_; }

  Batch build(const std::vector<int64_t>& indices, int64_t epoch, bool random_windows) const {
    std::vector<int64_t> tokens, offsets = {0}, segments, labels, order;
    std::vector<float> numbers;
    bool has_pairs = false;
    for (const int64_t index : indices) {
      const Example& example = dataset_.examples[static_cast<size_t>(index)];
      const uint64_t state = random_windows ? window_state(epoch, index) : 0;
      const bool swapped = options_.sentence_order &&
                           random_of(Stream::kOrder, options_, epoch, index).below(2) == 1;
      order.push_back(swapped ? 1 : 0);
      if (!options_.masked && dataset_.label_kind != LabelKind::kTag) {
        labels.push_back(example.label);
        numbers.push_back(static_cast<float>(example.number));
      }
      for (EncodedExample& encoded : sequences_of(example, swapped, state)) {
        if (options_.masked) {
          const std::vector<int64_t> masked =
              mask_tokens(encoded.tokens, *tokenizer_, options_.mask_share,
                          random_of(Stream::kMask, options_, epoch, index));
          labels.insert(labels.end(), masked.begin(), masked.end());
        } else if (dataset_.label_kind == LabelKind::kTag) {
          encoded.labels.resize(encoded.tokens.size(), kNoLoss);
          labels.insert(labels.end(), encoded.labels.begin(), encoded.labels.end());
        }
        has_pairs |= !encoded.segments.empty();
        encoded.segments.resize(encoded.tokens.size(), 0);
        tokens.insert(tokens.end(), encoded.tokens.begin(), encoded.tokens.end());
        segments.insert(segments.end(), encoded.segments.begin(), encoded.segments.end());
        offsets.push_back(std::ssize(tokens));
      }
    }
    const bool are_numbers = !options_.masked && dataset_.label_kind == LabelKind::kNumber;
    return {.tokens = to_tensor(tokens),
            .offsets = to_tensor(offsets),
            .segments = has_pairs ? to_tensor(segments) : at::Tensor(),
            .labels = are_numbers ? to_tensor(numbers) : to_tensor(labels),
            .order = options_.sentence_order ? to_tensor(order) : at::Tensor(),
            .indices = indices};
  }

 private:
  // Windows of texts are for those that stay in one piece.
  std::vector<EncodedExample> sequences_of(const Example& example, bool swapped,
                                           uint64_t state) const {
    if (!options_.sentence_order) return encode_sequences(example, *tokenizer_, options_, state);
    return {encode(as_pair(example, swapped), *tokenizer_, options_)};
  }

  uint64_t window_state(int64_t epoch, int64_t example) const {
    return random_of(Stream::kWindow, options_, epoch, example).next() | 1;  // 0 means no window
  }

  const Dataset& dataset_;
  std::shared_ptr<const text::Tokenizer> tokenizer_;
  BatchOptions options_;
  std::vector<int64_t> lengths_;
};

}  // namespace

struct EvaluationBatches::State {
  State(const Dataset& dataset, std::shared_ptr<const text::Tokenizer> tokenizer,
        const BatchOptions& options)
      : builder(dataset, std::move(tokenizer), options),
        plan(evaluation_plan(builder.lengths(), options)) {}

  BatchBuilder builder;
  BatchPlan plan;
  size_t done = 0;
};

EvaluationBatches::EvaluationBatches(const Dataset& dataset,
                                     std::shared_ptr<const text::Tokenizer> tokenizer,
                                     const BatchOptions& options)
    : state_(std::make_unique<State>(dataset, std::move(tokenizer), options)) {}

EvaluationBatches::~EvaluationBatches() = default;

int64_t EvaluationBatches::count() const { return std::ssize(state_->plan); }

bool EvaluationBatches::next(Batch& batch) {
  if (state_->done == state_->plan.size()) return false;
  batch =
      state_->builder.build(state_->plan[state_->done++], /*epoch=*/0, /*random_windows=*/false);
  return true;
}

struct TrainingBatches::State {
  static constexpr size_t kAhead = 4;  // batches; enough to hide an uneven one

  // A batch and where the sampler stands after it.
  struct Step {
    Batch batch;
    SamplerState after;
  };

  State(const Dataset& dataset, std::shared_ptr<const text::Tokenizer> tokenizer,
        const BatchOptions& options, SamplerState start)
      : builder(dataset, std::move(tokenizer), options), handed_out(start), produced(start) {
    plan = training_plan(builder.lengths(), options, start.epoch);
    if (start.epoch < 0 || start.batch < 0 || start.batch >= std::ssize(plan)) {
      throw Error(
          fmt::format("data: the sampler stands at batch {} of epoch {}, which has {} "
                      "batches. Resume with the data and options that it was saved with.",
                      start.batch, start.epoch, plan.size()));
    }
    prefetch.emplace([this] { return produce(); }, kAhead);
  }

  // Runs in the thread of `prefetch`, which alone uses `plan` and `produced` from then on.
  Step produce() {
    Step step;
    step.batch = builder.build(plan[static_cast<size_t>(produced.batch)], produced.epoch,
                               /*random_windows=*/true);
    ++produced.batch;
    if (produced.batch == std::ssize(plan)) {
      produced = {.epoch = produced.epoch + 1, .batch = 0};
      plan = training_plan(builder.lengths(), builder.options(), produced.epoch);
    }
    step.after = produced;
    return step;
  }

  BatchBuilder builder;
  SamplerState handed_out;
  SamplerState produced;
  BatchPlan plan;  // of epoch produced.epoch
  std::optional<Prefetch<Step>> prefetch;
};

TrainingBatches::TrainingBatches(const Dataset& dataset,
                                 std::shared_ptr<const text::Tokenizer> tokenizer,
                                 const BatchOptions& options, SamplerState start)
    : state_(std::make_unique<State>(dataset, std::move(tokenizer), options, start)) {}

TrainingBatches::~TrainingBatches() = default;

Batch TrainingBatches::next() {
  State::Step step = state_->prefetch->next();
  state_->handed_out = step.after;
  return std::move(step.batch);
}

SamplerState TrainingBatches::state() const { return state_->handed_out; }

int64_t TrainingBatches::batches_per_epoch() const {
  const BatchBuilder& builder = state_->builder;
  return std::ssize(training_plan(builder.lengths(), builder.options(), state_->handed_out.epoch));
}

}  // namespace lowrank::data
