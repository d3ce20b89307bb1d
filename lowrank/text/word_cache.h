// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <cstring>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lowrank/text/piece_model.h"

namespace lowrank::text {

// The pieces of words that were spelled before. Holds a bounded number of words, and forgets all of
// them when it is full. For one thread at a time.
class WordCache {
 public:
  static constexpr size_t kLongestWord = 256;  // bytes; a longer one is not kept

  WordCache() : slots_(kSlots) {}

  // Valid until the next add().
  std::optional<std::span<const Piece>> find(std::string_view word) const {
    if (word.empty()) return std::nullopt;
    const Slot& slot = slots_[find_slot(word, hash_of(word))];
    if (slot.size == 0) return std::nullopt;
    const Piece* pieces = slot.count <= kInline ? slot.pieces.data() : &pieces_[slot.at];
    return std::span(pieces, slot.count);
  }
  void add(std::string_view word, std::span<const Piece> pieces);

 private:
  static constexpr size_t kSlots = size_t{1} << 15;
  static constexpr size_t kMostWords = kSlots / 2;
  static constexpr size_t kMostBytes = size_t{1} << 22;
  static constexpr size_t kInline = 2;

  // Of the size of a cache line; a word of up to 16 bytes and 2 pieces lies all in it.
  struct alignas(64) Slot {
    std::array<char, 16> word{};  // a longer word: where it begins in words_
    uint64_t hash = 0;
    uint32_t size = 0;  // 0: free
    uint32_t count = 0;
    uint32_t at = 0;  // more pieces: where they begin in pieces_
    std::array<Piece, kInline> pieces{};
  };

  static uint64_t load(const char* from, size_t bytes) {
    uint64_t value = 0;
    std::memcpy(&value, from, bytes);
    return value;
  }
  static uint64_t mix(uint64_t value) {
    value *= 0x9E3779B97F4A7C15;
    return value ^ value >> 29;
  }
  static uint64_t hash_of(std::string_view word) {
    uint64_t hash = word.size();
    const char* from = word.data();
    size_t left = word.size();
    for (; left > 8; left -= 8, from += 8) hash = mix(hash ^ load(from, 8));
    if (word.size() >= 8) return mix(mix(hash ^ load(from + left - 8, 8)));
    if (left >= 4) return mix(mix(hash ^ (load(from, 4) | load(from + left - 4, 4) << 32)));
    const uint64_t few =
        load(from, 1) | load(from + left / 2, 1) << 8 | load(from + left - 1, 1) << 16;
    return mix(mix(hash ^ few));
  }

  bool is_word(const Slot& slot, std::string_view word, uint64_t hash) const {
    if (slot.hash != hash || slot.size != word.size()) return false;
    const char* stored = word.size() <= slot.word.size()
                             ? slot.word.data()
                             : words_.data() + load(slot.word.data(), sizeof(uint64_t));
    return std::memcmp(stored, word.data(), word.size()) == 0;
  }
  size_t find_slot(std::string_view word, uint64_t hash) const {
    size_t at = hash % kSlots;
    while (slots_[at].size != 0 && !is_word(slots_[at], word, hash)) at = (at + 1) % kSlots;
    return at;
  }

  std::vector<Slot> slots_;
  std::string words_;
  std::vector<Piece> pieces_;
  size_t count_ = 0;
};

// Lends each caller a cache that no other thread uses at that time.
class WordCaches {
 public:
  class Loan {
   public:
    explicit Loan(const WordCaches& owner);
    ~Loan();
    Loan(const Loan&) = delete;
    Loan& operator=(const Loan&) = delete;
    WordCache& operator*() const { return *cache_; }

   private:
    const WordCaches& owner_;
    std::unique_ptr<WordCache> cache_;
  };

 private:
  mutable std::mutex mutex_;
  mutable std::vector<std::unique_ptr<WordCache>> idle_;
};

}  // namespace lowrank::text
