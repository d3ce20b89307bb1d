// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <utility>
#include <vector>

namespace lowrank::text {

// A dictionary of byte strings that finds every entry a text begins with in one pass: a double array
// (Aoe 1989). The child of node s by byte c is t = base[s] + c + 1 where check[t] == s.
class ByteTrie {
 public:
  static constexpr int32_t kNone = -1;
  static constexpr int32_t kRoot = 0;

  ByteTrie() : ByteTrie(std::vector<std::pair<std::string_view, int32_t>>()) {}
  // Keys are distinct and not empty; values are 0 or more.
  explicit ByteTrie(std::vector<std::pair<std::string_view, int32_t>> entries);

  // The node that `byte` leads to; kNone where no key goes on with it.
  int32_t child(int32_t node, char byte) const {
    const auto next = static_cast<size_t>(nodes_[static_cast<size_t>(node)].base) +
                      static_cast<unsigned char>(byte) + 1;
    return next < nodes_.size() && nodes_[next].parent == node ? static_cast<int32_t>(next) : kNone;
  }
  // Of the key that ends at a node, or kNone.
  int32_t value(int32_t node) const { return nodes_[static_cast<size_t>(node)].value; }

 private:
  struct Node {
    int32_t base = 0;
    int32_t parent = kNone;
    int32_t value = kNone;
  };
  using Entries = std::vector<std::pair<std::string_view, int32_t>>;
  void build(const Entries& entries, size_t begin, size_t end, size_t depth, int32_t node);
  size_t free_from(size_t at);
  int32_t place_children(const std::vector<unsigned char>& bytes);

  std::vector<Node> nodes_;
  std::vector<size_t> next_free_;  // while it is built
};

}  // namespace lowrank::text
