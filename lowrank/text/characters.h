// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <unicode/uchar.h>
#include <unicode/utf8.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace lowrank::text {

// One character of a UTF-8 text. An ill-formed sequence counts as one, with a negative code.
struct Character {
  UChar32 code = 0;
  size_t begin = 0;
  size_t end = 0;
};

// The character that begins at byte `at`, which is less than the text's size.
inline Character character_at(std::string_view text, size_t at) {
  const auto byte = static_cast<uint8_t>(text[at]);
  if (byte < 0x80) return {.code = byte, .begin = at, .end = at + 1};
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data());
  const auto length = static_cast<int64_t>(text.size());
  auto next = static_cast<int64_t>(at);
  UChar32 code = 0;
  U8_NEXT(bytes, next, length, code);
  return {.code = code, .begin = at, .end = static_cast<size_t>(next)};
}

// The character that ends before byte `end`, which is above 0.
inline Character character_before(std::string_view text, size_t end) {
  // The macro looks back four bytes at most, and counts in int32_t.
  const size_t skipped = end < 4 ? 0 : end - 4;
  const auto* bytes = reinterpret_cast<const uint8_t*>(text.data()) + skipped;
  auto at = static_cast<int32_t>(end - skipped);
  UChar32 code = 0;
  U8_PREV(bytes, 0, at, code);
  return {.code = code, .begin = skipped + static_cast<size_t>(at), .end = end};
}

template <class Action>
void for_each_character(std::string_view text, const Action& action) {
  for (size_t at = 0; at < text.size();) {
    const Character character = character_at(text, at);
    action(character);
    at = character.end;
  }
}

inline void append_character(std::string& text, UChar32 code) {
  uint8_t bytes[U8_MAX_LENGTH];
  int32_t length = 0;
  U8_APPEND_UNSAFE(bytes, length, code);
  text.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

// Unicode's White_Space.
inline bool is_white_space(UChar32 code) {
  if (code < 0x80) return code == ' ' || (code >= '\t' && code <= '\r');
  return u_isUWhiteSpace(code) != 0;
}

inline bool has_category(UChar32 code, uint32_t mask) {
  return code >= 0 && (U_GET_GC_MASK(code) & mask) != 0;
}

// What \w matches in a regular expression that knows Unicode.
inline bool is_word_character(UChar32 code) {
  if (code < 0) return false;
  return u_hasBinaryProperty(code, UCHAR_ALPHABETIC) != 0 || code == 0x200C || code == 0x200D ||
         has_category(code, U_GC_M_MASK | U_GC_ND_MASK | U_GC_PC_MASK);
}

}  // namespace lowrank::text
