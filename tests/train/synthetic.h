// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <functional>
#include <random>
#include <sstream>
#include <string>
#include <vector>

#include "lowrank/base/file.h"
#include "lowrank/train/trainer.h"

namespace lowrank::testing {

// A task that a model of a few hundred weights learns in seconds: texts of 8 to 80 bytes, of class
// "vowels" or "digits" by the symbols they are made of.
inline data::Dataset make_dataset(size_t size, unsigned seed) {
  const std::string symbols[] = {"aeiou ", "01234 "};
  std::mt19937 random(seed);
  data::Dataset dataset{{}, {"vowels", "digits"}};
  for (size_t i = 0; i < size; ++i) {
    data::Example example;
    example.label = static_cast<int64_t>(i % 2);
    example.source = "example " + std::to_string(i);
    const size_t length = 8 + random() % 73;
    for (size_t j = 0; j < length; ++j) {
      example.text += symbols[i % 2][random() % symbols[i % 2].size()];
    }
    dataset.examples.push_back(example);
  }
  return dataset;
}

inline data::Splits make_splits() {
  return {make_dataset(42, 1), make_dataset(12, 2), make_dataset(12, 3), {}};
}

// Everything that a run's bits could hang on is in use: dropout, accumulation, random windows (texts
// are longer than max_length), and epochs of 11 batches that no evaluation coincides with.
inline train::Recipe tiny_recipe(const std::filesystem::path& output) {
  train::Recipe recipe;
  recipe.data.classes = {{"vowels", {"vowels/"}}, {"digits", {"digits/"}}};
  recipe.data.max_length = 32;
  recipe.model.width = 8;
  recipe.model.layers = 2;
  recipe.model.heads = 2;
  recipe.model.feed_forward = 16;
  recipe.model.dropout = 0.1;
  recipe.model.embeddings.max_positions = 32;
  recipe.model.attention = {NystromOptions{.landmarks = 4, .conv = 3}};
  recipe.train.output = output.string();
  recipe.train.steps = 10;
  recipe.train.learning_rate = 1e-2;
  recipe.train.batch_size = 4;
  recipe.train.accumulate = 2;
  recipe.train.random_window = 0.5;
  recipe.train.evaluate_every = 4;
  recipe.train.log_every = 3;
  recipe.train.threads = 1;  // batches so small make two threads wait for each other
  recipe.train.seed = 7;
  return recipe;
}

// Keeps what a run says, and stops it after step `stop_at`.
class Recorder : public train::Watcher {
 public:
  explicit Recorder(int64_t stop_at = -1) : stop_at_(stop_at) {}

  void on_step(const Step& step) override {
    steps.push_back(step);
    if (step.step == stop_at_) stop = true;
  }
  void on_evaluation(int64_t step, const train::Evaluation& evaluation, bool) override {
    evaluated.push_back(step);
    evaluations.push_back(evaluation);
  }
  void on_note(const std::string& note) override { notes.push_back(note); }

  std::vector<Step> steps;
  std::vector<int64_t> evaluated;
  std::vector<train::Evaluation> evaluations;
  std::vector<std::string> notes;
  std::atomic<bool> stop{false};

 private:
  int64_t stop_at_;
};

// A sitting that ends by itself or after `stop_at` steps.
inline train::TrainResult run(const train::Recipe& recipe, bool resume = false,
                              int64_t stop_at = -1) {
  Recorder recorder(stop_at);
  return train::train(recipe, make_splits(), recorder, resume, recorder.stop);
}

// metrics.jsonl without the times, which no two runs share.
inline std::vector<Json> metrics(const std::filesystem::path& folder) {
  std::vector<Json> lines;
  std::istringstream text(read_file(folder / "metrics.jsonl"));
  for (std::string line; std::getline(text, line);) {
    lines.push_back(Json::parse(line));
    lines.back().erase("seconds");
  }
  return lines;
}

// All that two runs leave behind is the same, to the bit.
inline void expect_same_run(const std::filesystem::path& a, const std::filesystem::path& b) {
  for (const char* file :
       {"last/model.safetensors", "last/optimizer.safetensors", "best/model.safetensors"}) {
    EXPECT_TRUE(read_file(a / file) == read_file(b / file)) << file << " differs";
  }
  EXPECT_EQ(metrics(a), metrics(b));
}

// Runs `action` and expects an Error whose message holds each of `parts`.
inline void expect_error(const std::function<void()>& action,
                         const std::vector<std::string>& parts) {
  try {
    action();
  } catch (const Error& error) {
    for (const std::string& part : parts) {
      EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
          << "\"" << part << "\" is not in: " << error.what();
    }
    return;
  }
  ADD_FAILURE() << "no Error was thrown";
}

}  // namespace lowrank::testing
