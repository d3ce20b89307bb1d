// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "lowrank/text/byte_trie.h"
#include "lowrank/text/characters.h"
#include "lowrank/text/piece_model.h"

namespace lowrank::text {
namespace {

// BERT's: the longest piece that the word begins with, then the longest that what is left goes on
// with. A word that cannot be spelled so, or is too long, is one unknown piece.
class WordPiece final : public PieceModel {
 public:
  explicit WordPiece(const CheckedJson& json) : vocabulary_(read_vocabulary(json.at("vocab"))) {
    prefix_ = json.text_or("continuing_subword_prefix", "##");
    const auto longest = json.find("max_input_chars_per_word");
    longest_word_ = longest ? longest->whole(0, INT32_MAX) : 100;
    const std::string name = json.text_or("unk_token", "[UNK]");
    unknown_ = vocabulary_.id(name);
    if (!unknown_) {
      json.fail(
          fmt::format("unk_token = \"{}\"; the vocabulary does not have it. Mend the file.", name));
    }
    std::vector<std::pair<std::string_view, int32_t>> entries;
    for (const auto& entry : vocabulary_.entries()) {
      if (!entry.first.empty()) entries.push_back(entry);
    }
    trie_ = ByteTrie(std::move(entries));
    continued_ = descend(ByteTrie::kRoot, prefix_);
  }

  void spell(std::string_view word, std::vector<Piece>& pieces) const override {
    const size_t before = pieces.size();
    if (!is_too_long(word) && spell_by_longest(word, pieces)) return;
    pieces.resize(before);
    pieces.push_back({static_cast<int32_t>(*unknown_), 0, static_cast<uint32_t>(word.size())});
  }
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::optional<int64_t> unknown() const override { return unknown_; }

 private:
  int32_t descend(int32_t node, std::string_view key) const {
    for (size_t i = 0; i < key.size() && node != ByteTrie::kNone; ++i) {
      node = trie_.child(node, key[i]);
    }
    return node;
  }

  bool is_too_long(std::string_view word) const {
    if (std::ssize(word) <= longest_word_) return false;
    int64_t characters = 0;
    for_each_character(word, [&](const Character&) { ++characters; });
    return characters > longest_word_;
  }

  bool spell_by_longest(std::string_view word, std::vector<Piece>& pieces) const {
    for (size_t begin = 0; begin < word.size();) {
      int32_t node = begin == 0 ? ByteTrie::kRoot : continued_;
      size_t end = begin;
      int32_t id = ByteTrie::kNone;
      for (size_t i = begin; i < word.size() && node != ByteTrie::kNone; ++i) {
        node = trie_.child(node, word[i]);
        if (node == ByteTrie::kNone || trie_.value(node) == ByteTrie::kNone) continue;
        id = trie_.value(node);
        end = i + 1;
      }
      if (id == ByteTrie::kNone) return false;
      pieces.push_back({id, static_cast<uint32_t>(begin), static_cast<uint32_t>(end)});
      begin = end;
    }
    return true;
  }

  Vocabulary vocabulary_;
  ByteTrie trie_;
  std::string prefix_;
  int32_t continued_ = ByteTrie::kNone;  // where pieces inside a word begin
  int64_t longest_word_ = 100;
  std::optional<int64_t> unknown_;
};

}  // namespace

std::unique_ptr<PieceModel> make_word_piece(const CheckedJson& json) {
  return std::make_unique<WordPiece>(json);
}

}  // namespace lowrank::text
