// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lowrank/io/safetensors.h"

namespace lowrank::io {

// model.safetensors.index.json or pytorch_model.bin.index.json: which of several files beside it holds
// which tensor.
struct ShardIndex {
  std::filesystem::path path;
  std::vector<std::pair<std::string, std::string>> weight_map;  // tensor, file name; in file order
  std::vector<std::string> shards() const;                      // each once, in order of appearance
};

// Throws lowrank::Error for what is no such index, for a tensor that is named twice, and for a shard
// that is no plain file name: nothing outside the index's folder is read.
ShardIndex load_shard_index(const std::filesystem::path& path);

// The text of an index that is in memory already; `path` is where it belongs.
ShardIndex read_shard_index(std::string_view text, const std::filesystem::path& path);

// The tensors of all shards, each read by `load`. Throws lowrank::Error unless every tensor is in the
// shard that the index names and in no other.
NamedTensors load_shards(const ShardIndex& index,
                         const std::function<NamedTensors(const std::filesystem::path&)>& load);

// Writes tensors into `folder`: as model.safetensors or, where they take more than `max_shard_bytes`, as
// model-00001-of-00003.safetensors and so on with model.safetensors.index.json. They keep their order; one
// that is larger than the limit has a file of its own. Removes what an earlier call left there. Each file is replaced
// in one step; for all of them in one, write into an AtomicDirectory (base/file.h).
void save_shards(const std::filesystem::path& folder, const NamedTensors& tensors,
                 uint64_t max_shard_bytes, const std::map<std::string, std::string>& metadata = {});

}  // namespace lowrank::io
