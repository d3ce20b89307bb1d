// SPDX-License-Identifier: Apache-2.0
// Texts to vectors: which of some lines is nearest to a question. Takes the folder of a model, such as a
// sentence encoder; without one it makes an untrained model, whose vectors tell little.
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <filesystem>

#include "lowrank/base/error.h"
#include "lowrank/models/model_directory.h"
#include "lowrank/serve/embed.h"

namespace {

std::filesystem::path untrained_model() {
  lowrank::models::ModelConfig config;
  config.task = lowrank::models::Task::kEncoder;
  const std::filesystem::path folder =
      std::filesystem::temp_directory_path() / "lowrank_example_4_embed";
  std::filesystem::create_directories(folder);
  lowrank::models::save_model(lowrank::models::Model(config), folder);
  return folder;
}

}  // namespace

int main(int count, char** arguments) try {
  const std::filesystem::path folder = count > 1 ? arguments[1] : untrained_model();

  const lowrank::serve::TextModel model = lowrank::serve::load_text_model(folder);
  lowrank::serve::Embedder embedder(model, {.normalize = true});
  const std::vector<std::string> texts = {"The train leaves at noon.", "Bread needs time to rise."};
  const at::Tensor vectors = embedder.embed(texts);
  const at::Tensor question = embedder.embed(std::vector<std::string>{"When does it depart?"});

  const at::Tensor cosines = at::matmul(vectors, question[0]);
  for (size_t i = 0; i < texts.size(); ++i) {
    fmt::print("{:.3f}  {}\n", cosines[static_cast<int64_t>(i)].item<double>(), texts[i]);
  }
} catch (const lowrank::Error& error) {
  fmt::print(stderr, "4_embed: {}\n", error.what());
  return 1;
}
