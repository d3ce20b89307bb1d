// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace lowrank::text {

// GPT-2's way to let pieces hold any byte: vocabularies write each byte as one printable character
// ("\u0120" is the space).

// The bytes that a vocabulary's piece stands for; empty where a character of it is no byte.
std::optional<std::string> bytes_of_piece(std::string_view piece);
// The inverse.
std::string piece_of_bytes(std::string_view bytes);

// Where the word that begins at byte `at` of `text` ends, by GPT-2's pattern
//
//   's|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+
//
// An ill-formed sequence counts as a character of no class.
size_t byte_level_word_end(std::string_view text, size_t at);

}  // namespace lowrank::text
