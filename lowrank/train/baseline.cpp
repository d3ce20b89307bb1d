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

// Multiplicative hashing (Knuth): the high bits of the product.
uint32_t bucket(std::string_view trigram) {
  const auto byte = [&](size_t i) {
    return static_cast<uint32_t>(static_cast<uint8_t>(trigram[i]));
  };
  return ((byte(0) << 16 | byte(1) << 8 | byte(2)) * 2654435769u) >> (32 - kBucketBits);
}

Features features_of(const std::string& text, size_t most_bytes) {
  const std::string_view bytes = std::string_view(text).substr(0, most_bytes);
  std::vector<uint32_t> buckets;
  for (size_t i = 0; i + 3 <= bytes.size(); ++i) buckets.push_back(bucket(bytes.substr(i, 3)));
  std::sort(buckets.begin(), buckets.end());
  Features features;
  double squares = 0;
  for (auto begin = buckets.begin(); begin != buckets.end();) {
    const auto end = std::find_if(begin, buckets.end(), [&](uint32_t b) { return b != *begin; });
    const double value = std::log1p(static_cast<double>(end - begin));
    features.push_back({static_cast<int>(*begin) + 1, value});
    squares += value * value;
    begin = end;
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
      all[i] = features_of(dataset.examples[i].text, static_cast<size_t>(most_bytes));
    }
  });
  return all;
}

void check_labeled(const data::Dataset& dataset, const char* name) {
  if (dataset.examples.empty()) {
    throw Error(fmt::format("baseline: the {} examples are none. Give data that has some.", name));
  }
  for (const data::Example& example : dataset.examples) {
    if (example.label >= 0) continue;
    throw Error(fmt::format("baseline: {} has no label; every example needs one. Leave it out.",
                            example.source));
  }
}

struct ModelDeleter {
  void operator()(::model* model) const { free_and_destroy_model(&model); }
};
using LinearModel = std::unique_ptr<::model, ModelDeleter>;

LinearModel fit(std::vector<Features>& features, const data::Dataset& dataset) {
  std::vector<double> labels;
  std::vector<feature_node*> rows;
  for (const data::Example& example : dataset.examples) {
    labels.push_back(static_cast<double>(example.label));
  }
  for (Features& row : features) rows.push_back(row.data());
  const problem task{.l = static_cast<int>(rows.size()),
                     .n = static_cast<int>(kBuckets),
                     .y = labels.data(),
                     .x = rows.data(),
                     .bias = -1};
  parameter options{};
  options.solver_type = L2R_L2LOSS_SVC_DUAL;
  options.eps = 0.1;
  options.C = 1;
  set_print_string_function([](const char*) {});
  std::srand(1);  // liblinear shuffles with rand()
  return LinearModel(::train(&task, &options));
}

}  // namespace

Evaluation linear_baseline(const data::Splits& splits, const data::Dataset& test,
                           int64_t most_bytes) {
  const data::Dataset& train = splits.train;
  const auto start = std::chrono::steady_clock::now();
  check_labeled(train, "training");
  check_labeled(test, "test");
  if (train.classes != test.classes || train.classes.size() < 2) {
    throw Error(
        fmt::format("baseline: the training data has {} classes, the test data {}; both must "
                    "have the same two or more. Read them from one recipe.",
                    train.classes.size(), test.classes.size()));
  }
  std::vector<Features> features = features_of(train, most_bytes);
  const LinearModel linear = fit(features, train);
  std::vector<int64_t> truth, predicted;
  for (const data::Example& example : test.examples) truth.push_back(example.label);
  for (const Features& row : features_of(test, most_bytes)) {
    predicted.push_back(static_cast<int64_t>(::predict(linear.get(), row.data())));
  }
  Evaluation evaluation = score(truth, predicted, test.classes);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  evaluation.seconds = seconds.count();
  return evaluation;
}

}  // namespace lowrank::train
