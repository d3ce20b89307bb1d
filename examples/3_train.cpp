// SPDX-License-Identifier: Apache-2.0
// Trains a classifier on data made here: does a text contain the word "needle"?
#include <fmt/format.h>

#include <atomic>
#include <filesystem>
#include <random>
#include <string>

#include "lowrank/train/trainer.h"

namespace {

lowrank::data::Dataset haystacks(int count, unsigned seed) {
  lowrank::data::Dataset dataset{.examples = {}, .classes = {"hay", "needle"}};
  std::mt19937 random(seed);
  for (int i = 0; i < count; ++i) {
    std::string text(200, ' ');
    for (char& letter : text) letter = static_cast<char>('a' + random() % 4);
    if (i % 2 == 1) text.replace(random() % 190, 6, "needle");
    lowrank::data::Example example;
    example.text = text;
    example.label = i % 2;
    dataset.examples.push_back(example);
  }
  return dataset;
}

class Printer final : public lowrank::train::Watcher {
  void on_evaluation(int64_t step, const lowrank::train::Evaluation& evaluation, bool) override {
    fmt::print("step {}: accuracy {:.3f}\n", step, evaluation.accuracy);
  }
};

}  // namespace

int main() {
  lowrank::train::Recipe recipe;
  recipe.data.max_length = 256;
  recipe.model.width = 32;
  recipe.model.layers = 1;
  recipe.model.feed_forward = 64;
  recipe.model.attention = {lowrank::NystromOptions{.landmarks = 16, .conv = 9}};
  recipe.model.embeddings.max_positions = 256;
  recipe.train.output =
      (std::filesystem::temp_directory_path() / "lowrank_example_3_train").string();
  recipe.train.steps = 150;
  recipe.train.evaluate_every = 50;
  recipe.train.batch_size = 16;
  recipe.train.learning_rate = 5e-3;
  std::filesystem::remove_all(recipe.train.output);

  lowrank::data::Splits splits;
  splits.train = haystacks(800, 1);
  splits.validation = haystacks(200, 2);
  Printer printer;
  const std::atomic<bool> stop = false;
  const auto result = lowrank::train::train(recipe, splits, printer, /*resume=*/false, stop);
  fmt::print("best accuracy {:.3f}, in {}\n", result.best, result.best_folder.string());
  return result.best > 0.9 ? 0 : 1;
}
