// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace lowrank::io {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// Writes tensors (any device, any strides) with string metadata, replacing `path` atomically.
// Names must be distinct. Format: docs/formats.md.
void save_safetensors(const std::filesystem::path& path, const NamedTensors& tensors,
                      const std::map<std::string, std::string>& metadata = {});

// Reads a file: every offset is checked before use. The tensors own their memory, to which they are
// copied once. Throws lowrank::Error naming the file, the tensor and the rule.
NamedTensors load_safetensors(const std::filesystem::path& path);

// The metadata alone.
std::map<std::string, std::string> load_safetensors_metadata(const std::filesystem::path& path);

// A tensor as the header describes it.
struct SafetensorsEntry {
  std::string name;
  std::string dtype;  // as the format calls it: "F32"
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // its bytes, counted from the end of the header
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<SafetensorsEntry> entries;  // in the order of their bytes
  uint64_t data_begin = 0;                // the file's first byte after the header
};

// The header alone, checked as in load_safetensors; the data is not read. It may list tensors of types
// that LibTorch has not (F4, F6_E2M3, F6_E3M2), which load_safetensors refuses.
SafetensorsHeader load_safetensors_header(const std::filesystem::path& path);

// A file's bytes that are in memory already; `where` names them in messages.
SafetensorsHeader read_safetensors_header(std::span<const std::byte> file,
                                          const std::string& where);
NamedTensors read_safetensors(std::span<const std::byte> file, const std::string& where);

}  // namespace lowrank::io
