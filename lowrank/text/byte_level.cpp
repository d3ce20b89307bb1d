// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/byte_level.h"

#include <array>
#include <cstdint>

#include "lowrank/text/characters.h"

namespace lowrank::text {
namespace {

struct Alphabet {
  std::array<UChar32, 256> character_of{};
  std::array<int16_t, 512> byte_of{};  // -1: none

  Alphabet() {
    byte_of.fill(-1);
    UChar32 next = 256;
    for (int byte = 0; byte < 256; ++byte) {
      const bool printable =
          (byte >= 33 && byte <= 126) || (byte >= 161 && byte <= 172) || byte >= 174;
      const UChar32 character = printable ? byte : next++;
      character_of[static_cast<size_t>(byte)] = character;
      byte_of[static_cast<size_t>(character)] = static_cast<int16_t>(byte);
    }
  }
};

const Alphabet& alphabet() {
  static const Alphabet kAlphabet;
  return kAlphabet;
}

enum class Class : uint8_t { kLetter, kNumber, kSpace, kOther, kNotAscii };

constexpr std::array<Class, 256> ascii_classes() {
  std::array<Class, 256> classes{};
  for (size_t byte = 0; byte < 256; ++byte) {
    const bool letter = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z');
    const bool space = byte == ' ' || (byte >= '\t' && byte <= '\r');
    classes[byte] = byte >= 0x80                 ? Class::kNotAscii
                    : letter                     ? Class::kLetter
                    : byte >= '0' && byte <= '9' ? Class::kNumber
                    : space                      ? Class::kSpace
                                                 : Class::kOther;
  }
  return classes;
}

constexpr std::array<Class, 256> kClasses = ascii_classes();

struct Classified {
  Class kind = Class::kOther;
  size_t end = 0;
};

Classified classify_beyond_ascii(std::string_view text, size_t at) {
  const Character c = character_at(text, at);
  if (has_category(c.code, U_GC_L_MASK)) return {Class::kLetter, c.end};
  if (has_category(c.code, U_GC_N_MASK)) return {Class::kNumber, c.end};
  return {c.code >= 0 && is_white_space(c.code) ? Class::kSpace : Class::kOther, c.end};
}

inline Classified classify(std::string_view text, size_t at) {
  const Class kind = kClasses[static_cast<unsigned char>(text[at])];
  return kind == Class::kNotAscii ? classify_beyond_ascii(text, at) : Classified{kind, at + 1};
}

// The end of the characters of one class from `at` on.
inline size_t run_end(std::string_view text, size_t at, Class kind) {
  while (at < text.size()) {
    const Classified next = classify(text, at);
    if (next.kind != kind) break;
    at = next.end;
  }
  return at;
}

// The bytes of 's, 't, 're, 've, 'm, 'll or 'd at `at`, where an apostrophe is; 0: it is none of them.
size_t contraction(std::string_view text, size_t at) {
  if (at + 1 >= text.size()) return 0;
  const char first = text[at + 1];
  if (first == 's' || first == 't' || first == 'm' || first == 'd') return 2;
  if (at + 2 >= text.size()) return 0;
  const char second = text[at + 2];
  const bool two = (first == 'r' && second == 'e') || (first == 'v' && second == 'e') ||
                   (first == 'l' && second == 'l');
  return two ? 3 : 0;
}

// Spaces up to a word leave it the last of them.
size_t spaces_end(std::string_view text, size_t at) {
  size_t last = at, end = at;
  while (end < text.size()) {
    const Classified next = classify(text, end);
    if (next.kind != Class::kSpace) break;
    last = end;
    end = next.end;
  }
  return end == text.size() || last == at ? end : last;
}

}  // namespace

std::optional<std::string> bytes_of_piece(std::string_view piece) {
  std::string bytes;
  for (size_t at = 0; at < piece.size();) {
    const Character c = character_at(piece, at);
    if (c.code < 0 || c.code >= 512) return std::nullopt;
    const int16_t byte = alphabet().byte_of[static_cast<size_t>(c.code)];
    if (byte < 0) return std::nullopt;
    bytes += static_cast<char>(byte);
    at = c.end;
  }
  return bytes;
}

std::string piece_of_bytes(std::string_view bytes) {
  std::string piece;
  for (const char byte : bytes) {
    append_character(piece, alphabet().character_of[static_cast<unsigned char>(byte)]);
  }
  return piece;
}

size_t byte_level_word_end(std::string_view text, size_t at) {
  if (text[at] == '\'') {
    if (const size_t bytes = contraction(text, at)) return at + bytes;
  }
  Classified first = classify(text, at);
  if (first.kind != Class::kSpace) return run_end(text, first.end, first.kind);
  if (text[at] == ' ' && at + 1 < text.size()) {
    first = classify(text, at + 1);
    if (first.kind != Class::kSpace) return run_end(text, first.end, first.kind);
  }
  return spaces_end(text, at);
}

}  // namespace lowrank::text
