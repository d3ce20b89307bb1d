// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/batch_plan.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "lowrank/data/random.h"

namespace lowrank::data {
namespace {

// Sorts `examples` by length and appends their batches to `plan`. Equal lengths keep their order.
void append_batches(std::span<int64_t> examples, const std::vector<int64_t>& lengths,
                    const BatchOptions& options, BatchPlan& plan) {
  const auto length_of = [&](int64_t example) { return lengths[static_cast<size_t>(example)]; };
  std::stable_sort(examples.begin(), examples.end(),
                   [&](int64_t a, int64_t b) { return length_of(a) < length_of(b); });
  std::vector<int64_t> batch;
  int64_t tokens = 0;
  for (const int64_t example : examples) {
    const bool full = std::ssize(batch) == options.batch_size;
    const bool over =
        options.token_budget > 0 && tokens + length_of(example) > options.token_budget;
    if (!batch.empty() && (full || over)) {
      plan.push_back(std::move(batch));
      batch.clear();
      tokens = 0;
    }
    batch.push_back(example);
    tokens += length_of(example);
  }
  if (!batch.empty()) plan.push_back(std::move(batch));
}

std::vector<int64_t> all_examples(size_t count) {
  std::vector<int64_t> examples(count);
  std::iota(examples.begin(), examples.end(), int64_t{0});
  return examples;
}

}  // namespace

BatchPlan evaluation_plan(const std::vector<int64_t>& lengths, const BatchOptions& options) {
  BatchPlan plan;
  std::vector<int64_t> examples = all_examples(lengths.size());
  append_batches(examples, lengths, options, plan);
  return plan;
}

BatchPlan training_plan(const std::vector<int64_t>& lengths, const BatchOptions& options,
                        int64_t epoch) {
  Random random({options.seed, static_cast<uint64_t>(epoch)});
  std::vector<int64_t> examples = all_examples(lengths.size());
  random.shuffle(examples);

  BatchPlan plan;
  const auto run = static_cast<size_t>(options.bucket * options.batch_size);
  for (size_t start = 0; start < examples.size(); start += run) {
    const size_t size = std::min(run, examples.size() - start);
    append_batches(std::span(examples).subspan(start, size), lengths, options, plan);
  }
  random.shuffle(plan);
  return plan;
}

}  // namespace lowrank::data
