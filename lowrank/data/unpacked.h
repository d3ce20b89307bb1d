// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>
#include <limits>
#include <string>

namespace lowrank::data {

// The first `limit` bytes of what a file holds: of .gz and .xz files what is packed in them, of others
// their bytes. Throws Error naming the file where it cannot be read, is damaged or cut short.
std::string read_unpacked(const std::filesystem::path& path,
                          size_t limit = std::numeric_limits<size_t>::max());

// `path`, or the same with .xz or .gz after it, whichever is there; empty where none is.
std::filesystem::path packed_or_not(const std::filesystem::path& path);

}  // namespace lowrank::data
