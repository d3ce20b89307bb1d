// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/byte_trie.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <string>

namespace lowrank::text {
namespace {

int32_t find(const ByteTrie& trie, std::string_view key) {
  int32_t node = ByteTrie::kRoot;
  for (const char byte : key) {
    node = trie.child(node, byte);
    if (node == ByteTrie::kNone) return ByteTrie::kNone;
  }
  return trie.value(node);
}

TEST(ByteTrie, FindsWhatAMapFindsAndNothingElse) {
  std::mt19937 random(3);
  const auto key = [&] {
    std::string bytes;
    // Few values, to share beginnings; the ends of the range of a byte among them.
    for (size_t i = 1 + random() % 5; i > 0; --i) bytes += "\x00\x01\x7F\x80\xFF"[random() % 5];
    return bytes;
  };
  std::map<std::string, int32_t> map;
  for (int32_t i = 0; i < 1500; ++i) map.emplace(key(), i);
  const ByteTrie trie({map.begin(), map.end()});
  for (int i = 0; i < 20'000; ++i) {
    const std::string wanted = key();
    const auto expected = map.find(wanted);
    ASSERT_EQ(find(trie, wanted), expected == map.end() ? ByteTrie::kNone : expected->second);
  }
}

TEST(ByteTrie, MayBeEmpty) {
  EXPECT_EQ(find(ByteTrie(), "a"), ByteTrie::kNone);
  EXPECT_EQ(find(ByteTrie(), ""), ByteTrie::kNone);
}

TEST(ByteTrie, HoldsAKeyOfAMillionBytes) {
  const std::string key(1'000'000, 'x');
  EXPECT_EQ(find(ByteTrie({{key, 5}}), key), 5);
}

}  // namespace
}  // namespace lowrank::text
