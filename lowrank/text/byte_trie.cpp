// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/byte_trie.h"

#include <algorithm>
#include <numeric>

namespace lowrank::text {

ByteTrie::ByteTrie(Entries entries) {
  std::sort(entries.begin(), entries.end());
  nodes_.resize(258);
  nodes_[kRoot].parent = kRoot;
  next_free_.resize(nodes_.size());
  std::iota(next_free_.begin(), next_free_.end(), size_t{0});
  build(entries, 0, entries.size(), 0, kRoot);
  next_free_ = {};
}

// The node's subtree, of the sorted entries [begin, end), which have `depth` bytes in common. By a
// stack of its own: a key may be as long as a file.
void ByteTrie::build(const Entries& entries, size_t begin, size_t end, size_t depth, int32_t node) {
  struct Task {
    size_t begin, end, depth;
    int32_t node;
  };
  std::vector<Task> tasks = {{begin, end, depth, node}};
  std::vector<unsigned char> bytes;
  std::vector<size_t> starts;
  while (!tasks.empty()) {
    Task task = tasks.back();
    tasks.pop_back();
    if (task.begin < task.end && entries[task.begin].first.size() == task.depth) {
      nodes_[static_cast<size_t>(task.node)].value = entries[task.begin].second;
      ++task.begin;
    }
    if (task.begin == task.end) continue;
    bytes.clear();
    starts.clear();
    for (size_t i = task.begin; i < task.end; ++i) {
      const auto byte = static_cast<unsigned char>(entries[i].first[task.depth]);
      if (!bytes.empty() && bytes.back() == byte) continue;
      bytes.push_back(byte);
      starts.push_back(i);
    }
    starts.push_back(task.end);
    const int32_t base = place_children(bytes);
    nodes_[static_cast<size_t>(task.node)].base = base;
    for (size_t i = 0; i < bytes.size(); ++i) {
      const int32_t child = base + bytes[i] + 1;
      nodes_[static_cast<size_t>(child)].parent = task.node;
      tasks.push_back({starts[i], starts[i + 1], task.depth + 1, child});
    }
  }
}

// The first free node from `at` on. Taken nodes point further, by ever longer steps.
size_t ByteTrie::free_from(size_t at) {
  while (at < next_free_.size() && next_free_[at] != at) {
    const size_t next = next_free_[at];
    if (next < next_free_.size()) next_free_[at] = next_free_[next];
    at = next;
  }
  return at;
}

// A base that gives each of the bytes a free node; after some failures behind all that are taken, which
// leaves holes but bounds the time.
int32_t ByteTrie::place_children(const std::vector<unsigned char>& bytes) {
  constexpr int kMostFailures = 256;
  const auto is_free = [&](size_t at) { return at >= nodes_.size() || nodes_[at].parent == kNone; };
  const size_t lowest = bytes[0] + size_t{1};  // a base is 0 or more
  size_t first = free_from(lowest);
  for (int failures = 0;; ++failures) {
    const size_t shift = first - bytes[0];
    const bool fits = std::all_of(bytes.begin(), bytes.end(),
                                  [&](unsigned char byte) { return is_free(shift + byte); });
    if (fits) break;
    first = failures < kMostFailures ? free_from(first + 1) : std::max(nodes_.size(), lowest);
  }
  const size_t base = first - lowest;
  if (base + 257 > nodes_.size()) nodes_.resize(base + 257 + nodes_.size() / 2);
  for (size_t at = next_free_.size(); at < nodes_.size(); ++at) next_free_.push_back(at);
  // Taken at once, before the children are filled in.
  for (const unsigned char byte : bytes) {
    nodes_[base + byte + 1].parent = kRoot;
    next_free_[base + byte + 1] = base + byte + 2;
  }
  return static_cast<int32_t>(base);
}

}  // namespace lowrank::text
