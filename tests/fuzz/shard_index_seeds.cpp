// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/seeds.h"

namespace lowrank::testing {

std::vector<std::string> seeds() {
  return {
      R"({"metadata": {"total_size": 60}, "weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}})",
      R"({"weight_map": {"a\u00e9\n": "x.bin"}, "more": [null, true, -1, 1.5e3, {"weight_map": {}}]})"};
}

}  // namespace lowrank::testing
