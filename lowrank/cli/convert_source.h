// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <string>
#include <variant>
#include <vector>

#include "lowrank/cli/convert_command.h"
#include "lowrank/models/foreign.h"
#include "lowrank/models/model.h"

namespace lowrank::cli {

// What `lowrank convert` reads: a run, a model directory, one of Hugging Face's, or another package's
// checkpoint.
struct ConvertSource {
  std::variant<std::shared_ptr<models::Model>, models::ForeignModel> model;
  std::filesystem::path folder;    // where tokenizer files may lie
  std::string what;                // "bert of transformers", "TransMIL"
  std::vector<std::string> notes;  // a sentence each: what of the files is not used, and why
};

ConvertSource open_source(const ConvertFlags& flags);

}  // namespace lowrank::cli
