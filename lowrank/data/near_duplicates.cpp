// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/near_duplicates.h"

#include <xxhash.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cctype>
#include <limits>

#include "lowrank/data/parallel.h"

namespace lowrank::data {
namespace {

// Note [Prefix filter]
// If J(x, y) > t, x and y share more than t |x| elements. So however the elements are ordered, one
// of the first |x| - floor(t |x|) of x is shared, and the same holds for y: the first shared element
// in the order lies in both prefixes. Only sets with a common prefix element are compared. Rare
// elements come first in the order, so that prefixes seldom meet; elements that no other set has can
// meet nothing and are left out. The order need only be the same for all sets, not exact, so
// frequencies are counted in a table without looking at collisions, up to 255; elements of equal
// frequency go into a prefix together, which makes it longer than it must be, never too short.

using Frequency = uint8_t;
constexpr Frequency kMostFrequent = std::numeric_limits<Frequency>::max();

class FrequencyTable {
 public:
  explicit FrequencyTable(const std::vector<Shingles>& sets) {
    size_t total = 0;
    for (const Shingles& set : sets) total += set.size();
    counts_.resize(std::bit_ceil(std::max<size_t>(total, 1)));
    for (const Shingles& set : sets) {
      for (const uint64_t shingle : set) {
        Frequency& count = counts_[slot_of(shingle)];
        if (count < kMostFrequent) ++count;
      }
    }
  }

  Frequency of(uint64_t shingle) const { return counts_[slot_of(shingle)]; }

 private:
  size_t slot_of(uint64_t shingle) const { return shingle & (counts_.size() - 1); }

  std::vector<Frequency> counts_;
};

Shingles prefix_of(const Shingles& set, double threshold, const FrequencyTable& frequencies) {
  std::array<size_t, kMostFrequent + 1> with_frequency{};
  for (const uint64_t shingle : set) ++with_frequency[frequencies.of(shingle)];

  // One more than the note says: is_near rounds threshold * size, and may round down.
  const auto shared = static_cast<size_t>(threshold * static_cast<double>(set.size()));
  const size_t length = std::min(set.size(), set.size() - shared + 1);
  size_t covered = 0, limit = 0;
  while (covered < length) covered += with_frequency[++limit];

  Shingles prefix;
  for (const uint64_t shingle : set) {
    const Frequency frequency = frequencies.of(shingle);
    if (frequency > 1 && frequency <= limit) prefix.push_back(shingle);
  }
  return prefix;
}

bool is_word_byte(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return byte >= 128 || byte == '_' || std::isalnum(byte);
}

constexpr size_t kWords = 6;  // of a shingle

}  // namespace

Shingles shingles(std::string_view text) {
  std::vector<uint64_t> words;
  for (size_t i = 0; i < text.size();) {
    const size_t start = i;
    while (i < text.size() && is_word_byte(text[i])) ++i;
    if (i > start) words.push_back(XXH3_64bits(text.data() + start, i - start));
    while (i < text.size() && !is_word_byte(text[i])) ++i;
  }

  if (words.empty()) return {};
  const size_t length = std::min(kWords, words.size());
  Shingles result(words.size() - length + 1);
  for (size_t i = 0; i < result.size(); ++i) {
    result[i] = XXH3_64bits(words.data() + i, length * sizeof(uint64_t));
  }
  std::sort(result.begin(), result.end());
  result.erase(std::unique(result.begin(), result.end()), result.end());
  return result;
}

bool is_near(const Shingles& a, const Shingles& b, double threshold) {
  const auto above = [&](size_t shared) {
    const size_t either = a.size() + b.size() - shared;
    return static_cast<double>(shared) > threshold * static_cast<double>(either);
  };
  // How many elements of each can still be shared, those that are shared already included.
  size_t of_a = a.size(), of_b = b.size();
  for (size_t i = 0, j = 0; i < a.size() && j < b.size() && above(std::min(of_a, of_b));) {
    if (a[i] == b[j]) {
      ++i, ++j;
    } else if (a[i] < b[j]) {
      ++i, --of_a;
    } else {
      ++j, --of_b;
    }
  }
  return above(std::min(of_a, of_b));
}

NearDuplicateIndex::NearDuplicateIndex(const std::vector<Shingles>& sets, double threshold)
    : sets_(sets), threshold_(threshold), prefixes_(sets.size()), asked_by_(sets.size(), -1) {
  const FrequencyTable frequencies(sets);
  for_each_index(static_cast<int64_t>(sets.size()), [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    prefixes_[at] = prefix_of(sets[at], threshold, frequencies);
  });
  size_t total = 0;
  for (const Shingles& prefix : prefixes_) total += prefix.size();
  chains_.assign(std::bit_ceil(std::max<size_t>(total, 1)), -1);
}

void NearDuplicateIndex::add(int64_t i) {
  for (const uint64_t shingle : prefixes_[static_cast<size_t>(i)]) {
    int64_t& chain = chains_[chain_of(shingle)];
    entries_.push_back({i, chain});
    chain = static_cast<int64_t>(entries_.size()) - 1;
  }
}

std::vector<int64_t> NearDuplicateIndex::find(int64_t i) {
  std::vector<int64_t> result;
  const Shingles& set = sets_[static_cast<size_t>(i)];
  for (const uint64_t shingle : prefixes_[static_cast<size_t>(i)]) {
    for (int64_t at = chains_[chain_of(shingle)]; at >= 0;) {
      const Entry& entry = entries_[static_cast<size_t>(at)];
      const auto other = static_cast<size_t>(entry.set);
      at = entry.next;
      if (asked_by_[other] == i) continue;
      asked_by_[other] = i;
      if (entry.set != i && is_near(set, sets_[other], threshold_)) result.push_back(entry.set);
    }
  }
  std::sort(result.begin(), result.end());
  return result;
}

}  // namespace lowrank::data
