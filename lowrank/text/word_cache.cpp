// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/word_cache.h"

namespace lowrank::text {

void WordCache::add(std::string_view word, std::span<const Piece> pieces) {
  if (word.empty() || word.size() > kLongestWord) return;
  const bool is_full = count_ == kMostWords || words_.size() > kMostBytes ||
                       pieces_.size() * sizeof(Piece) > kMostBytes;
  if (is_full) *this = WordCache();
  const uint64_t hash = hash_of(word);
  Slot& slot = slots_[find_slot(word, hash)];
  if (slot.size != 0) return;
  slot.hash = hash;
  slot.size = static_cast<uint32_t>(word.size());
  slot.count = static_cast<uint32_t>(pieces.size());
  if (word.size() <= slot.word.size()) {
    std::memcpy(slot.word.data(), word.data(), word.size());
  } else {
    const uint64_t at = words_.size();
    std::memcpy(slot.word.data(), &at, sizeof at);
    words_ += word;
  }
  if (pieces.size() <= kInline) {
    std::copy(pieces.begin(), pieces.end(), slot.pieces.begin());
  } else {
    slot.at = static_cast<uint32_t>(pieces_.size());
    pieces_.insert(pieces_.end(), pieces.begin(), pieces.end());
  }
  ++count_;
}

WordCaches::Loan::Loan(const WordCaches& owner) : owner_(owner) {
  {
    const std::lock_guard lock(owner_.mutex_);
    if (!owner_.idle_.empty()) {
      cache_ = std::move(owner_.idle_.back());
      owner_.idle_.pop_back();
    }
  }
  if (!cache_) cache_ = std::make_unique<WordCache>();
}

WordCaches::Loan::~Loan() {
  const std::lock_guard lock(owner_.mutex_);
  owner_.idle_.push_back(std::move(cache_));
}

}  // namespace lowrank::text
