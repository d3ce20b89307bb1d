// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "lowrank/base/error.h"
#include "lowrank/io/shards.h"

// Any bytes as an index of shards: one sentence, or file names without a folder.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lowrank;
  try {
    const io::ShardIndex index = io::read_shard_index({reinterpret_cast<const char*>(data), size},
                                                      "model.safetensors.index.json");
    for (const std::string& shard : index.shards()) {
      if (std::filesystem::path(shard).has_parent_path()) std::abort();
    }
  } catch (const Error&) {
  }
  return 0;
}
