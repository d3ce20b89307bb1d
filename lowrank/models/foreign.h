// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <limits>
#include <memory>
#include <string>
#include <variant>

#include "lowrank/base/config.h"
#include "lowrank/io/safetensors.h"
#include "lowrank/models/foreign_fairseq.h"
#include "lowrank/models/foreign_linformer.h"
#include "lowrank/models/foreign_linformer_pytorch.h"
#include "lowrank/models/foreign_lucidrains.h"
#include "lowrank/models/foreign_module.h"
#include "lowrank/models/foreign_transmil.h"
#include "lowrank/ops/profile.h"

// Models of other packages that are no encoder of this library: what config.json says of one, the
// module, and its folder.
namespace lowrank::models {

using ForeignOptions =
    std::variant<lucidrains::Options, linformer::Options, linformer_pytorch::Options,
                 fairseq::Options, transmil::Options>;

Profile profile_of(const ForeignOptions& options);

// "profile" and the options of that package, whose keys are the fields of its Options.
void describe(ConfigFields& fields, ForeignOptions& options);

// Throws Error naming field, rule and remedy: an odd convolution, r of at most n_max ...
void check(const ForeignOptions& options, const std::string& where);

// What a module reads, a sequence at a time, and what it makes of it.
struct ForeignSignature {
  int64_t width = 0;       // of the vectors that it reads; 0: it reads token ids
  int64_t vocabulary = 0;  // of token ids
  int64_t shortest = 1;    // rows of a sequence
  int64_t longest = std::numeric_limits<int64_t>::max();
  bool classifies = false;  // a sequence becomes the logits of classes; otherwise each row a row
  int64_t outputs = 0;      // classes, or numbers of a row
};

ForeignSignature signature_of(const ForeignOptions& options);

struct ForeignModel {
  ForeignOptions options;
  std::shared_ptr<ForeignModule> module;
};

// The module, with zeros or random numbers for parameters. Checks the options.
ForeignModel make_foreign(const ForeignOptions& options);

// Gives the module the tensors of its state_dict, and their dtype. A tensor that the module has under
// several names may stand under one of them or under all, with the same bits. Throws Error that lists
// every missing, extra and misshapen tensor.
void load_tensors(torch::nn::Module& module, const io::NamedTensors& tensors,
                  const std::string& where);

// A folder with config.json and model.safetensors; docs/formats.md. save_foreign writes into an
// existing folder (use AtomicDirectory). load_foreign returns the same bits, in evaluation mode.
void save_foreign(const ForeignModel& model, const std::filesystem::path& folder);
ForeignModel load_foreign(const std::filesystem::path& folder);

// Whether the contents of a config.json are one of save_foreign's.
bool is_foreign(const Json& config);

// The same of a folder's config.json. Throws Error where that cannot be read.
bool is_foreign_folder(const std::filesystem::path& folder);

}  // namespace lowrank::models
