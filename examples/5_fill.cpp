// SPDX-License-Identifier: Apache-2.0
// Words for blanks: a masked language model that is made here, of the alphabet, is asked for a letter.
#include <fmt/format.h>

#include <atomic>
#include <filesystem>
#include <string>

#include "lowrank/serve/fill.h"
#include "lowrank/train/trainer.h"

namespace {

// Trains on stretches of the alphabet. Returns the model's folder.
std::filesystem::path make_model() {
  lowrank::data::Splits splits;
  for (int i = 0; i < 260; ++i) {
    lowrank::data::Example example;
    for (int at = 0; at < 12; ++at) example.text += static_cast<char>('a' + (i + at) % 26);
    splits.train.examples.push_back(example);
  }
  lowrank::train::Recipe recipe;
  recipe.model.task = lowrank::models::Task::kMaskedLanguageModel;
  recipe.model.width = 32;
  recipe.model.feed_forward = 64;
  recipe.model.attention = {lowrank::ExactOptions{}};
  recipe.model.embeddings.max_positions = 16;
  recipe.data.max_length = 16;
  recipe.train.output =
      (std::filesystem::temp_directory_path() / "lowrank_example_5_fill").string();
  recipe.train.steps = 200;
  recipe.train.threads = 1;  // batches so small make two threads wait for each other
  recipe.train.batch_size = 32;
  recipe.train.learning_rate = 1e-2;
  std::filesystem::remove_all(recipe.train.output);
  lowrank::train::Watcher silent;
  const std::atomic<bool> stop = false;
  return lowrank::train::train(recipe, splits, silent, /*resume=*/false, stop).best_folder;
}

}  // namespace

int main() {
  namespace serve = lowrank::serve;
  const std::filesystem::path folder = make_model();

  const serve::TextModel model = serve::load_text_model(folder);
  const serve::TextInput text{.text = "cdef[MASK]hijkl"};
  const auto filled =
      serve::fill(model, {serve::read_blanks(model, text, {.special_tokens = false})}, /*top=*/3);
  for (const serve::Guess& guess : filled[0][0].guesses) {
    fmt::print("{:.3f}  {}  {}\n", guess.probability, guess.word, guess.text);
  }
  return filled[0][0].guesses[0].word == "g" ? 0 : 1;
}
