// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/baseline.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <linear.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <memory>
#include <string_view>

namespace lowrank::train {
namespace {

constexpr uint32_t kBucketBits = 18;
constexpr uint32_t kBuckets = 1u << kBucketBits;

using Features = std::vector<feature_node>;  // ascending indices from 1, ended by index -1

// What a trigram is counted in: each list has hashes of its own.
enum class List : uint32_t { kFirst = 0, kSecond = 0x5bd1e995, kBoth = 0x2545f491 };

// Multiplicative hashing (Knuth): the high bits of the product.
uint32_t bucket(uint32_t trigram, List list) {
  return ((trigram ^ static_cast<uint32_t>(list)) * 2654435769u) >> (32 - kBucketBits);
}

struct Count {
  uint32_t key = 0;  // a trigram, or a bucket
  int64_t count = 0;
};
using Counts = std::vector<Count>;  // ascending, each key once

Counts merged(Counts counts) {
  std::sort(counts.begin(), counts.end(), [](Count a, Count b) { return a.key < b.key; });
  Counts result;
  for (const Count& count : counts) {
    if (result.empty() || result.back().key != count.key) result.push_back({count.key, 0});
    result.back().count += count.count;
  }
  return result;
}

Counts trigrams_of(const std::string& text, size_t most_bytes) {
  const std::string_view bytes = std::string_view(text).substr(0, most_bytes);
  const auto byte = [&](size_t i) { return static_cast<uint32_t>(static_cast<uint8_t>(bytes[i])); };
  Counts counts;
  for (size_t i = 0; i + 3 <= bytes.size(); ++i) {
    counts.push_back({byte(i) << 16 | byte(i + 1) << 8 | byte(i + 2), 1});
  }
  return merged(std::move(counts));
}

Counts smaller_counts(const Counts& a, const Counts& b) {
  Counts both;
  for (auto i = a.begin(), j = b.begin(); i != a.end() && j != b.end();) {
    if (i->key == j->key) both.push_back({i->key, std::min(i->count, j->count)});
    const bool next_a = i->key <= j->key, next_b = j->key <= i->key;
    i += next_a ? 1 : 0;
    j += next_b ? 1 : 0;
  }
  return both;
}

Features features_of(const data::Example& example, size_t most_bytes) {
  Counts of_buckets;
  const auto add = [&](const Counts& counts, List list) {
    for (const Count& count : counts) of_buckets.push_back({bucket(count.key, list), count.count});
  };
  const Counts first = trigrams_of(example.text, most_bytes);
  add(first, List::kFirst);
  if (!example.pair.empty()) {
    const Counts second = trigrams_of(example.pair, most_bytes);
    add(second, List::kSecond);
    add(smaller_counts(first, second), List::kBoth);
  }
  Features features;
  double squares = 0;
  for (const auto& [index, count] : merged(std::move(of_buckets))) {
    const double value = std::log1p(static_cast<double>(count));
    features.push_back({static_cast<int>(index) + 1, value});
    squares += value * value;
  }
  for (feature_node& feature : features) feature.value /= std::sqrt(squares);
  features.push_back({-1, 0});
  return features;
}

std::vector<Features> features_of(const data::Dataset& dataset, int64_t most_bytes) {
  const auto size = static_cast<int64_t>(dataset.examples.size());
  std::vector<Features> all(dataset.examples.size());
  at::parallel_for(0, size, 16, [&](int64_t begin, int64_t end) {
    for (auto i = static_cast<size_t>(begin); i < static_cast<size_t>(end); ++i) {
      all[i] = features_of(dataset.examples[i], static_cast<size_t>(most_bytes));
    }
  });
  return all;
}

void check_labeled(const data::Dataset& dataset, const char* name) {
  if (dataset.examples.empty()) {
    throw Error(fmt::format("baseline: the {} examples are none. Give data that has some.", name));
  }
  for (const data::Example& example : dataset.examples) {
    if (data::is_labelled(dataset, example)) continue;
    throw Error(fmt::format("baseline: {} has no label; every example needs one. Leave it out.",
                            example.source));
  }
}

// 0 where labels are classes.
double mean_number(const data::Dataset& dataset) {
  if (dataset.label_kind != data::LabelKind::kNumber) return 0;
  double sum = 0;
  for (const data::Example& example : dataset.examples) sum += example.number;
  return sum / static_cast<double>(dataset.examples.size());
}

struct ModelDeleter {
  void operator()(::model* model) const { free_and_destroy_model(&model); }
};
using LinearModel = std::unique_ptr<::model, ModelDeleter>;

// Of numbers their distances from `middle` are learned: the model has no constant term.
LinearModel fit(std::vector<Features>& features, const data::Dataset& dataset, double middle) {
  std::vector<double> labels;
  std::vector<feature_node*> rows;
  const bool numbers = dataset.label_kind == data::LabelKind::kNumber;
  for (const data::Example& example : dataset.examples) {
    labels.push_back(numbers ? example.number - middle : static_cast<double>(example.label));
  }
  for (Features& row : features) rows.push_back(row.data());
  const problem task{.l = static_cast<int>(rows.size()),
                     .n = static_cast<int>(kBuckets),
                     .y = labels.data(),
                     .x = rows.data(),
                     .bias = -1};
  parameter options{};
  options.solver_type = numbers ? L2R_L2LOSS_SVR_DUAL : L2R_L2LOSS_SVC_DUAL;
  options.p = 0.1;  // of numbers: an error so small costs nothing
  options.eps = 0.1;
  options.C = 1;
  set_print_string_function([](const char*) {});
  std::srand(1);  // liblinear shuffles with rand()
  return LinearModel(::train(&task, &options));
}

void check_kinds(const data::Dataset& train, const data::Dataset& test) {
  if (train.label_kind == data::LabelKind::kTag) {
    throw Error(
        "baseline: the data labels words; the linear model reads whole texts. Give data with a "
        "label for each text.");
  }
  const bool numbers = train.label_kind == data::LabelKind::kNumber;
  const bool alike = train.label_kind == test.label_kind && train.classes == test.classes;
  if (alike && (numbers || train.classes.size() >= 2)) return;
  throw Error(
      fmt::format("baseline: the training data has {} classes, the test data {}; both must "
                  "have the same two or more. Read them from one recipe.",
                  train.classes.size(), test.classes.size()));
}

Evaluation scored(const std::vector<double>& predicted, const data::Dataset& test) {
  if (test.label_kind == data::LabelKind::kNumber) {
    std::vector<double> truth;
    for (const data::Example& example : test.examples) truth.push_back(example.number);
    return score_numbers(truth, predicted, test.classes[0]);
  }
  std::vector<int64_t> truth, classes;
  for (const data::Example& example : test.examples) truth.push_back(example.label);
  for (const double value : predicted) classes.push_back(static_cast<int64_t>(value));
  return score(truth, classes, test.classes);
}

}  // namespace

Evaluation linear_baseline(const data::Splits& splits, const data::Dataset& test,
                           int64_t most_bytes) {
  const data::Dataset& train = splits.train;
  const auto start = std::chrono::steady_clock::now();
  check_labeled(train, "training");
  check_labeled(test, "test");
  check_kinds(train, test);
  std::vector<Features> features = features_of(train, most_bytes);
  const double middle = mean_number(train);
  const LinearModel linear = fit(features, train, middle);
  std::vector<double> predicted;
  for (const Features& row : features_of(test, most_bytes)) {
    predicted.push_back(::predict(linear.get(), row.data()) + middle);
  }
  Evaluation evaluation = scored(predicted, test);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  evaluation.seconds = seconds.count();
  return evaluation;
}

}  // namespace lowrank::train
