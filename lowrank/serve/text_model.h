// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/Device.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "lowrank/models/model.h"
#include "lowrank/text/tokenizer.h"

namespace lowrank::serve {

// A model ready to read text: what every use of one begins with.
struct TextModel {
  std::shared_ptr<models::Model> model;  // in evaluation mode
  std::shared_ptr<const text::Tokenizer> tokenizer;
  int64_t max_length = 0;  // tokens of a sequence, special ones included, that the model takes
  std::filesystem::path folder;  // that it was read from: <run>/best, or the folder itself
};

// Reads a run's folder, a model directory or one of Hugging Face's, with its tokenizer. `device` is "cpu"
// or "cuda"; `dtype` one of models::dtype_names() or, empty, the file's. Throws Error.
TextModel load_text_model(const std::filesystem::path& folder, const std::string& device = "cpu",
                          const std::string& dtype = "");

// "cpu" or "cuda"; throws Error for another name, and where no GPU is visible.
at::Device device_of(const std::string& name);

}  // namespace lowrank::serve
