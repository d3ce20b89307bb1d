// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "lowrank/text/byte_trie.h"
#include "lowrank/text/pattern.h"

namespace lowrank::text {

// A token that stands in a text as it is written, found before the text is split into words.
struct AddedToken {
  std::string content;
  int64_t id = 0;
  bool special = false;
  bool single_word = false;  // only where no word character is beside it
  bool lstrip = false;       // takes the white space before it along
  bool rstrip = false;       // and after it
  bool normalized = true;    // is looked for in the normalized text
};

// A stretch of a text: an added token, or what stands between two.
struct Found {
  Range range;
  int32_t id = -1;  // -1: text
};

// Finds tokens in a text: the leftmost first, the longest of those that begin there.
class AddedTokenFinder {
 public:
  AddedTokenFinder() = default;
  // The content of each token is what is looked for. Empty ones are left out.
  explicit AddedTokenFinder(std::vector<AddedToken> tokens);

  bool empty() const { return tokens_.empty(); }
  // The whole text in order, without empty stretches of text.
  void find(std::string_view text, std::vector<Found>& found) const;

 private:
  struct Match {
    size_t end = 0;
    int32_t token = ByteTrie::kNone;
  };
  Match longest_at(std::string_view text, size_t at) const;

  std::vector<AddedToken> tokens_;
  ByteTrie trie_;  // of indices into tokens_
  std::array<bool, 256> begins_{};
};

}  // namespace lowrank::text
