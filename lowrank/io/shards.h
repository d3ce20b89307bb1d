// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <functional>
#include <string>
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
ShardIndex read_shard_index(const std::filesystem::path& path);

// The tensors of all shards, each read by `load`. Throws lowrank::Error unless every tensor is in the
// shard that the index names and in no other.
NamedTensors load_shards(const ShardIndex& index,
                         const std::function<NamedTensors(const std::filesystem::path&)>& load);

}  // namespace lowrank::io
