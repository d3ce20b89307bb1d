// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/duplicates.h"

#include <xxhash.h>

#include <algorithm>
#include <numeric>
#include <string>
#include <tuple>
#include <unordered_map>

#include "lowrank/data/near_duplicates.h"
#include "lowrank/data/parallel.h"

namespace lowrank::data {
namespace {

// Text and pair as one string.
std::string content_of(const Row& row) {
  return row.pair.empty() ? row.text : row.text + '\0' + row.pair;
}

// For each row the first row of the same content.
std::vector<int64_t> first_equal(const std::vector<Row>& rows) {
  const std::vector<uint64_t> hashes = content_hashes(rows);
  std::unordered_map<uint64_t, size_t> first_of_hash;
  std::vector<int64_t> result;
  for (size_t i = 0; i < rows.size(); ++i) {
    const size_t first = first_of_hash.emplace(hashes[i], i).first->second;
    const bool equal = rows[first].text == rows[i].text && rows[first].pair == rows[i].pair;
    result.push_back(static_cast<int64_t>(equal ? first : i));
  }
  return result;
}

std::vector<Shingles> shingle_sets(const std::vector<Row>& rows) {
  std::vector<Shingles> sets(rows.size());
  for_each_index(static_cast<int64_t>(rows.size()), [&](int64_t i) {
    const auto at = static_cast<size_t>(i);
    sets[at] = shingles(content_of(rows[at]));
  });
  return sets;
}

// Disjoint sets of row numbers.
class Groups {
 public:
  explicit Groups(size_t size) : parent_(size) { std::iota(parent_.begin(), parent_.end(), 0); }

  size_t root(size_t i) {
    while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
    return i;
  }
  void join(size_t a, size_t b) { parent_[root(a)] = root(b); }

 private:
  std::vector<size_t> parent_;
};

}  // namespace

std::vector<Row> drop_duplicates(std::vector<Row> rows, double threshold, DataReport& report) {
  const std::vector<int64_t> first = first_equal(rows);
  const std::vector<Shingles> sets = shingle_sets(rows);
  NearDuplicateIndex index(sets, threshold);
  std::vector<Row> kept;
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    if (first[i] != number) {
      count_dropped(report, "exact duplicate");
    } else if (!index.find(number).empty()) {
      count_dropped(report, "near duplicate");
    } else {
      index.add(number);
      kept.push_back(std::move(rows[i]));
    }
  }
  return kept;
}

std::vector<uint64_t> content_hashes(const std::vector<Row>& rows) {
  std::vector<uint64_t> hashes;
  for (const Row& row : rows) {
    const std::string content = content_of(row);
    hashes.push_back(XXH64(content.data(), content.size(), 0));
  }
  return hashes;
}

std::vector<uint64_t> group_hashes(const std::vector<Row>& rows, double threshold) {
  const std::vector<int64_t> first = first_equal(rows);
  const std::vector<Shingles> sets = shingle_sets(rows);
  NearDuplicateIndex index(sets, threshold);
  Groups groups(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto number = static_cast<int64_t>(i);
    groups.join(i, static_cast<size_t>(first[i]));
    if (first[i] != number) continue;
    for (const int64_t near : index.find(number)) groups.join(i, static_cast<size_t>(near));
    index.add(number);
  }

  // Not the smallest hash: that of a large group would be small, and a split by it uneven.
  std::vector<size_t> first_member(rows.size());
  std::iota(first_member.begin(), first_member.end(), size_t{0});
  for (size_t i = 0; i < rows.size(); ++i) {
    size_t& member = first_member[groups.root(i)];
    const Row &row = rows[i], &best = rows[member];
    if (std::tie(row.text, row.pair) < std::tie(best.text, best.pair)) member = i;
  }
  const std::vector<uint64_t> hashes = content_hashes(rows);
  std::vector<uint64_t> result(rows.size());
  for (size_t i = 0; i < rows.size(); ++i) result[i] = hashes[first_member[groups.root(i)]];
  return result;
}

}  // namespace lowrank::data
