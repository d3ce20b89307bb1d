// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "lowrank/text/checked_json.h"

namespace lowrank::text {

// A piece of a word: its id and the word's bytes that it stands for.
struct Piece {
  int32_t id = 0;
  uint32_t begin = 0;
  uint32_t end = 0;
};

// The pieces of a model by id and by what they spell.
class Vocabulary {
 public:
  static constexpr int64_t kMostIds = int64_t{1} << 24;

  // Throws Error naming `where` for an id outside [0, kMostIds), an id or a piece that is there
  // already.
  void add(std::string_view piece, int64_t id, const std::string& where);

  int64_t size() const {
    return static_cast<int64_t>(pieces_.size());
  }  // one more than the last id
  bool has(int64_t id) const { return id >= 0 && id < size() && has_[static_cast<size_t>(id)]; }
  const std::string& piece(int64_t id) const { return pieces_[static_cast<size_t>(id)]; }
  std::optional<int64_t> id(std::string_view piece) const;
  // Every piece and its id, in the order of ids.
  std::vector<std::pair<std::string_view, int32_t>> entries() const;

 private:
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  std::vector<std::string> pieces_;
  std::vector<bool> has_;
  std::unordered_map<std::string, int32_t, Hash, std::equal_to<>> ids_;
};

// Spells words with the pieces of a vocabulary.
class PieceModel {
 public:
  virtual ~PieceModel() = default;
  // Appends the pieces of a word, from left to right. Words are not empty.
  virtual void spell(std::string_view word, std::vector<Piece>& pieces) const = 0;
  virtual const Vocabulary& vocabulary() const = 0;
  virtual std::optional<int64_t> unknown() const = 0;
};

// Of the member "model" of a tokenizer.json; with `byte_level`, words are bytes and the vocabulary
// writes them as byte_level.h says. Throws Error naming what is wrong or not supported.
std::unique_ptr<PieceModel> make_piece_model(const CheckedJson& json, bool byte_level);

// The kinds, each in a file of its own.
std::unique_ptr<PieceModel> make_word_piece(const CheckedJson& json);
std::unique_ptr<PieceModel> make_byte_pair(const CheckedJson& json, bool byte_level);
std::unique_ptr<PieceModel> make_unigram(const CheckedJson& json);

// {"piece": id, ...}
Vocabulary read_vocabulary(const CheckedJson& json);

}  // namespace lowrank::text
