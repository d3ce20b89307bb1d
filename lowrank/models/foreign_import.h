// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "lowrank/models/foreign.h"
#include "lowrank/models/foreign_format.h"
#include "lowrank/models/foreign_hints.h"
#include "lowrank/models/native_checkpoint.h"

namespace lowrank::models {

struct ImportedCheckpoint {
  ForeignFormat format = ForeignFormat::kLucidrains;
  std::variant<ForeignModel, NativeCheckpoint> content;
  std::vector<std::string> notes;  // a sentence each: what of the file is not used, and why
};

// Reads another package's checkpoint: any file or folder of io/load_tensors.h, and mlpen's .model and
// .cp. Where a folder, or the file's, has mlpen's config.json, it gives the hints that are not given.
// Empty: the tensors are of none of these packages. `fixed` leaves away the profile of an encoder;
// modules have no other function than their own, and it is an Error for them.
std::optional<ImportedCheckpoint> import_checkpoint(const std::filesystem::path& path,
                                                    const ForeignHints& hints = {},
                                                    bool fixed = false);

}  // namespace lowrank::models
