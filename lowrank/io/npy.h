// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "lowrank/base/file.h"

namespace lowrank::io {

// Writes a NumPy array as its rows come: [n] or, with columns, [n, columns]. How many rows there are is
// not known before commit(), which replaces `path` in one step; without it nothing remains. Format:
// docs/formats.md. Throws lowrank::Error where the file cannot be written, and for rows of another dtype or
// shape.
class NpyWriter {
 public:
  // `dtype` is float32, float64 or int64.
  NpyWriter(const std::filesystem::path& path, at::ScalarType dtype,
            std::optional<int64_t> columns = std::nullopt);
  void write(const at::Tensor& rows);  // [k] or [k, columns], on any device, with any strides
  void commit();

 private:
  std::vector<int64_t> shape() const;
  std::filesystem::path path_;
  AtomicFile file_;
  at::ScalarType dtype_;
  std::optional<int64_t> columns_;
  int64_t rows_ = 0;
};

// Writes an array of any shape in one step: float32, float64 or int64, on any device, with any strides.
// Throws lowrank::Error as NpyWriter does.
void save_npy(const std::filesystem::path& path, const at::Tensor& array);

// Reads a .npy file of any shape and order: floating point of 2, 4 and 8 bytes, whole numbers,
// booleans and complex numbers of 8 and 16 bytes, all little-endian. The tensor is contiguous and owns its memory. Throws
// lowrank::Error naming the file and the rule.
at::Tensor load_npy(const std::filesystem::path& path);

// A file's bytes that are in memory already; `where` names them in messages.
at::Tensor read_npy(std::span<const std::byte> file, const std::string& where);

}  // namespace lowrank::io
