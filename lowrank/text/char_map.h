// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lowrank::text {

// SentencePiece's precompiled map from character sequences to what replaces them: a double array of
// 32-bit units (Yata's darts-clone), and the replacements, each ended by a NUL.
class CharMap {
 public:
  // The bytes of a tokenizer.json's precompiled_charsmap, which is Base64. Throws Error naming
  // `where` for sizes that do not fit each other.
  CharMap(std::string_view bytes, const std::string& where);

  // What replaces `sequence`: the entry of its shortest beginning that has one, as in Hugging Face's
  // reader, even where `sequence` goes on.
  std::optional<std::string_view> find(std::string_view sequence) const;

 private:
  std::vector<uint32_t> units_;
  std::string replacements_;
};

// Throws Error naming `where` for text that is not Base64.
std::string decode_base64(std::string_view text, const std::string& where);

}  // namespace lowrank::text
