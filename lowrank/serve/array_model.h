// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "lowrank/models/foreign.h"

namespace lowrank::serve {

// A module of another package in use: it reads arrays instead of text.
struct ArrayModel {
  std::shared_ptr<models::ForeignModule> module;  // in evaluation mode
  models::ForeignSignature signature;
  std::string package;           // as profile_name() says it
  std::filesystem::path folder;  // that it was read from
};

// Reads a folder of models::save_foreign. `device` and `dtype` as load_text_model() takes them.
ArrayModel load_array_model(const std::filesystem::path& folder, const std::string& device = "cpu",
                            const std::string& dtype = "");

// What the model reads, in words: "[n, 1024] or [b, n, 1024]".
std::string shape_in_words(const models::ForeignSignature& signature);

// The command that serves the model: "predict" where it has classes, "embed" where it makes rows.
std::string command_for(const models::ForeignSignature& signature);

// The sequences of an array, [n, width] each, or [n] for a model that reads token ids, on the model's
// device and in its dtype: one of [n, width], b of [b, n, width]. Throws Error naming `source` for another
// shape, a length that the model does not take, numbers that are not finite, and ids that are none.
std::vector<at::Tensor> sequences_of(const ArrayModel& model, const at::Tensor& array,
                                     const std::string& source);

// What the model makes of a sequence, on the CPU, float32 or, of a float64 model, float64: logits
// [outputs] where it has classes, else rows [n, outputs]. A sequence is run alone, so that its result hangs
// on no other, which upstream's does where "lowrank info" tells of batch mates. No gradients.
at::Tensor run(const ArrayModel& model, const at::Tensor& sequence);

}  // namespace lowrank::serve
