// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/profile.h"

#include <algorithm>

namespace lowrank {

const std::vector<std::pair<std::string, Profile>>& profile_names() {
  static const std::vector<std::pair<std::string, Profile>> names = {
      {"none", Profile::kNone},
      {"hf", Profile::kHuggingFace},
      {"mlpen", Profile::kMlpen},
      {"lucidrains", Profile::kLucidrains},
      {"transmil", Profile::kTransmil},
      {"linformer", Profile::kLinformer},
      {"linformer_pytorch", Profile::kLinformerPytorch},
      {"fairseq", Profile::kFairseq}};
  return names;
}

const std::string& profile_name(Profile profile) {
  return std::find_if(profile_names().begin(), profile_names().end(),
                      [&](const auto& entry) { return entry.second == profile; })
      ->first;
}

}  // namespace lowrank
