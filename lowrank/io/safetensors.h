// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <filesystem>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace lowrank::io {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// Writes tensors (any device, any strides) with string metadata, replacing `path` atomically.
// Names must be distinct. Format: docs/formats.md.
void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata = {});

// Reads a file: every offset is checked before use. The tensors own their memory. Throws
// lowrank::Error naming the file, the tensor and the rule.
NamedTensors load_safetensors(const std::filesystem::path& path);

// The metadata alone.
std::map<std::string, std::string> load_safetensors_metadata(const std::filesystem::path& path);

}  // namespace lowrank::io
