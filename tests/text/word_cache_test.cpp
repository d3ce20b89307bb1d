// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/word_cache.h"

#include <gtest/gtest.h>

#include <random>

namespace lowrank::text {
namespace {

// Pieces that tell which word they belong to.
std::vector<Piece> pieces_of(const std::string& word) {
  std::vector<Piece> pieces(word.size() % 5);
  for (uint32_t i = 0; i < pieces.size(); ++i) {
    pieces[i] = {static_cast<int32_t>(std::hash<std::string>()(word) & 0xFFFFF), i, i + 1};
  }
  return pieces;
}

bool knows(const WordCache& cache, const std::string& word) {
  const auto found = cache.find(word);
  if (!found) return false;
  const std::vector<Piece> expected = pieces_of(word);
  EXPECT_EQ(found->size(), expected.size()) << word;
  for (size_t i = 0; i < expected.size(); ++i) EXPECT_EQ((*found)[i].id, expected[i].id) << word;
  return true;
}

TEST(WordCache, GivesThePiecesOfTheWordItself) {
  WordCache cache;
  for (size_t size = 1; size <= WordCache::kLongestWord; ++size) {
    const std::string word(size, 'a'), other = std::string(size - 1, 'a') + "b";
    EXPECT_FALSE(knows(cache, word)) << size;
    cache.add(word, pieces_of(word));
    EXPECT_TRUE(knows(cache, word)) << size;
    EXPECT_FALSE(knows(cache, other)) << size;
  }
}

TEST(WordCache, KeepsNoWordThatIsTooLong) {
  WordCache cache;
  const std::string word(WordCache::kLongestWord + 1, 'a');
  cache.add(word, pieces_of(word));
  EXPECT_FALSE(knows(cache, word));
  EXPECT_FALSE(cache.find(""));
}

TEST(WordCache, ForgetsAndGoesOnWhereItIsFull) {
  WordCache cache;
  for (int i = 0; i < 100'000; ++i) {
    const std::string word = "word number " + std::to_string(i);
    cache.add(word, pieces_of(word));
    ASSERT_TRUE(knows(cache, word));
  }
  EXPECT_FALSE(knows(cache, "word number 0"));
}

TEST(WordCaches, LendOneCacheToOneThreadAtATime) {
  const WordCaches caches;
  WordCache* first = nullptr;
  {
    const WordCaches::Loan a(caches), b(caches);
    EXPECT_NE(&*a, &*b);
    first = &*a;
  }
  const WordCaches::Loan again(caches), other(caches);
  EXPECT_TRUE(&*again == first || &*other == first);
}

}  // namespace
}  // namespace lowrank::text
