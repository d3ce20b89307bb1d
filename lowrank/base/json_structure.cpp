// SPDX-License-Identifier: Apache-2.0
#include "lowrank/base/json_structure.h"

#include <fmt/format.h>

#include "lowrank/base/error.h"

namespace lowrank {

void JsonStructure::check_depth(int depth) const {
  constexpr int kDeepest = 100;
  if (depth <= kDeepest) return;
  throw Error(
      fmt::format("{}: this JSON is nested more than {} deep. Mend the file.", where_, kDeepest));
}

void JsonStructure::check_key(const std::string& key) {
  if (keys_.back().insert(key).second) return;
  throw Error(fmt::format("{}: an object has the key {} twice. Mend the file.", where_,
                          nlohmann::json(key).dump(-1, ' ', true)));
}

}  // namespace lowrank
