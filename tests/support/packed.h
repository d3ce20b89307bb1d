// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>
#include <lzma.h>

#include <cstdint>
#include <filesystem>
#include <string>

#include "lowrank/base/file.h"

namespace lowrank::testing {

// What is packed in a recorded .xz file of up to 16 MiB.
inline std::string unpacked(const std::filesystem::path& path) {
  const std::string packed = read_file(path);
  std::string text(size_t{1} << 24, '\0');
  uint64_t memory = UINT64_MAX;
  size_t read = 0, written = 0;
  const lzma_ret status = lzma_stream_buffer_decode(
      &memory, 0, nullptr, reinterpret_cast<const uint8_t*>(packed.data()), &read, packed.size(),
      reinterpret_cast<uint8_t*>(text.data()), &written, text.size());
  EXPECT_EQ(status, LZMA_OK) << path;
  text.resize(written);
  return text;
}

}  // namespace lowrank::testing
