// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/byte_trie.h"

#include <algorithm>

namespace lowrank::text {

ByteTrie::ByteTrie(Entries entries) {
  std::sort(entries.begin(), entries.end());
  nodes_.resize(258);
  nodes_[kRoot].parent = kRoot;
  build(entries, 0, entries.size(), 0, kRoot);
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

// A base that gives each of the bytes a free node. A node that is taken is never free again, so the
// search goes on from the first free one; after many failures from further on, which leaves holes but
// bounds the time.
int32_t ByteTrie::place_children(const std::vector<unsigned char>& bytes) {
  const auto is_free = [&](size_t at) { return at >= nodes_.size() || nodes_[at].parent == kNone; };
  while (!is_free(first_free_)) ++first_free_;
  size_t first = std::max<size_t>(first_free_, bytes[0] + size_t{1});
  for (int failures = 0;; ++first) {
    if (!is_free(first)) continue;
    const size_t base = first - bytes[0] - 1;
    const bool fits = std::all_of(bytes.begin(), bytes.end(),
                                  [&](unsigned char byte) { return is_free(base + byte + 1); });
    if (fits) {
      if (base + 257 > nodes_.size()) nodes_.resize(base + 257 + nodes_.size() / 2);
      // Reserved at once, before the children are filled in.
      for (const unsigned char byte : bytes) nodes_[base + byte + 1].parent = kRoot;
      return static_cast<int32_t>(base);
    }
    if (++failures == 64) first_free_ = std::max(first_free_, first);
  }
}

}  // namespace lowrank::text
