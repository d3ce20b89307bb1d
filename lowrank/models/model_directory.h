// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lowrank/io/safetensors.h"
#include "lowrank/models/model.h"

namespace lowrank::models {

// A model directory: config.json and model.safetensors. save_model writes into an existing folder
// (use AtomicDirectory). load_model throws Error listing every missing, extra and misshapen tensor;
// the model it returns has the file's dtype and bits, and is in evaluation mode. It reads a directory of
// Hugging Face's too (models/hugging_face.h), told by the "model_type" of its config.json.
// The folder of another package's module (models/foreign.h) is an Error that says what reads it.
void save_model(const Model& model, const std::filesystem::path& folder);
std::shared_ptr<Model> load_model(const std::filesystem::path& folder);

// Makes `tensors`, named as Model names them, the model's parameters, in their dtype, and puts it into
// evaluation mode. Throws Error for every missing, extra and misshapen one at once; `where` names the
// file.
void set_parameters(Model& model, const io::NamedTensors& tensors, const std::string& where);

// Where the model of a run's or a model's folder lies: the first of <folder>/best, <folder>/last and the
// folder itself that has a config.json; absent where none has.
std::optional<std::filesystem::path> search_model(const std::filesystem::path& folder);

// The same; throws Error where there is none.
std::filesystem::path find_model(const std::filesystem::path& folder);

}  // namespace lowrank::models
