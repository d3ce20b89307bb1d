// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace lowrank::text {

// Where `text` stops being well-formed UTF-8: the offset of the first byte of the first ill-formed
// sequence. Empty when all of it is well-formed.
std::optional<size_t> find_invalid_utf8(std::string_view text);

// The longest beginning of `text` with at most `bytes` bytes that does not end inside a character.
// Bytes that are no UTF-8 count as characters of their own.
std::string_view cut_utf8(std::string_view text, size_t bytes);

}  // namespace lowrank::text
