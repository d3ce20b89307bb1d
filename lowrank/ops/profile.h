// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace lowrank {

// Whose function a model computes. Weights that another implementation trained depend on its quirks;
// its profile reproduces them. kNone: this library's own functions, what everything defaults to.
enum class Profile {
  kNone,
  kHuggingFace,       // transformers, Nystromformer
  kMlpen,             // mlpen/Nystromformer
  kLucidrains,        // nystrom-attention
  kTransmil,          // TransMIL, on nystrom-attention
  kLinformer,         // lucidrains' linformer
  kLinformerPytorch,  // linformer-pytorch
  kFairseq,           // fairseq's examples/linformer
};

// "none", "hf", "mlpen", "lucidrains", "transmil", "linformer", "linformer_pytorch", "fairseq", as
// ConfigFields::choice takes them.
const std::vector<std::pair<std::string, Profile>>& profile_names();

// The name of `profile` there.
const std::string& profile_name(Profile profile);

}  // namespace lowrank
