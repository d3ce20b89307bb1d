// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/utf8.h"

#include <unicode/utf8.h>

#include <cstdint>

namespace lowrank::text {

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  const auto length = static_cast<int64_t>(text.size());
  for (int64_t next = 0; next < length;) {
    const int64_t start = next;
    UChar32 character = 0;
    U8_NEXT(bytes, next, length, character);
    if (character < 0) return static_cast<size_t>(start);
  }
  return std::nullopt;
}

std::string_view cut_utf8(std::string_view text, size_t bytes) {
  if (text.size() <= bytes) return text;
  // The macro looks back four bytes at most, and counts in int32_t.
  const size_t skipped = bytes < 4 ? 0 : bytes - 4;
  const auto* last = reinterpret_cast<const uint8_t*>(text.data()) + skipped;
  auto length = static_cast<int32_t>(bytes - skipped);
  U8_TRUNCATE_IF_INCOMPLETE(last, 0, length);
  return text.substr(0, skipped + static_cast<size_t>(length));
}

}  // namespace lowrank::text
