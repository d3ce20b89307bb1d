// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lowrank/base/config.h"
#include "lowrank/models/model.h"

namespace lowrank::models {

// Directories of Hugging Face's transformers: config.json with a "model_type" of bert, roberta or
// nystromformer, and model.safetensors or pytorch_model.bin (or their shards), bare or with the head of
// a masked language model, sequence or token classification, question answering or multiple choice.
//
// The function is transformers', in evaluation mode. For nystromformer that means the profile "hf": the
// padding and the rest of a batch change a sequence's result (ops/compat.h). `fixed` leaves the
// profile away; a sequence then is what it is alone, whatever its length.
struct HuggingFaceModel {
  std::shared_ptr<Model> model;
  std::string type;                // model_type
  std::vector<std::string> notes;  // a sentence each: what of the files is not used, and why
};

// Whether the contents of a config.json are such a directory's.
bool is_hugging_face(const Json& config);

// Throws Error for a config that asks for what is not here (naming it) and, all at once, for every
// missing, extra and misshapen tensor. The model has the file's dtype and bits.
HuggingFaceModel load_hugging_face(const std::filesystem::path& folder, bool fixed = false);

// Writes config.json and model.safetensors into an existing folder, for transformers to load: bert
// for exact attention, roberta where also position_offset is 2, nystromformer for Nystrom attention of
// one kind in all layers. Loading it again gives the same bits. Returns notes on what transformers
// computes differently. Throws Error naming what in the model has no place there.
std::vector<std::string> save_hugging_face(const Model& model, const std::filesystem::path& folder);

}  // namespace lowrank::models
