// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace lowrank::data {

// The hashes of every 6 consecutive words of a text, sorted, each once; a text of 1 to 5 words has one
// hash, a text without words none. A word is a run of letters, digits, "_" and bytes above 127.
using Shingles = std::vector<uint64_t>;

Shingles shingles(std::string_view text);

// Whether |a and b| / |a or b|, the Jaccard similarity, is above the threshold.
bool is_near(const Shingles& a, const Shingles& b, double threshold);

// Finds the sets near a given one without comparing it with each. Exact: find(i) returns every j
// that was added and for which is_near(sets[i], sets[j], threshold).
class NearDuplicateIndex {
 public:
  // `sets` must outlive the index.
  NearDuplicateIndex(const std::vector<Shingles>& sets, double threshold);

  void add(int64_t i);
  std::vector<int64_t> find(int64_t i);

 private:
  struct Entry {
    int64_t set;
    int64_t next;  // in entries_; -1 ends the chain
  };
  size_t chain_of(uint64_t shingle) const { return shingle & (chains_.size() - 1); }

  const std::vector<Shingles>& sets_;
  double threshold_;
  std::vector<Shingles> prefixes_;  // of each set the shingles through which it is found
  std::vector<int64_t> chains_;     // first entry of each chain
  std::vector<Entry> entries_;
  std::vector<int64_t> asked_by_;  // per set, the last i whose find() compared it
};

}  // namespace lowrank::data
