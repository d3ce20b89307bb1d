// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/utf8.h"

#include <gtest/gtest.h>

#include <string>

namespace lowrank::text {
namespace {

const std::string kMixed = "a\xC3\xA4\xE2\x82\xAC\xF0\x9F\x98\x80z";  // 1 + 2 + 3 + 4 + 1 bytes

TEST(FindInvalidUtf8, AcceptsCharactersOfEveryLength) {
  EXPECT_EQ(find_invalid_utf8(kMixed), std::nullopt);
  EXPECT_EQ(find_invalid_utf8(""), std::nullopt);
  EXPECT_EQ(find_invalid_utf8(std::string(1, '\0')), std::nullopt);
}

TEST(FindInvalidUtf8, GivesTheOffsetOfTheFirstIllFormedSequence) {
  EXPECT_EQ(find_invalid_utf8("ab\xE4zz\xFF"), 2u);      // Latin-1
  EXPECT_EQ(find_invalid_utf8("\x80"), 0u);              // no lead byte
  EXPECT_EQ(find_invalid_utf8("a\xC0\xAF"), 1u);         // overlong
  EXPECT_EQ(find_invalid_utf8("abc\xED\xA0\x80"), 3u);   // surrogate
  EXPECT_EQ(find_invalid_utf8("\xF4\x90\x80\x80"), 0u);  // past U+10FFFF
  EXPECT_EQ(find_invalid_utf8("abcd\xE2\x82"), 4u);      // ends too early
}

TEST(CutUtf8, KeepsTheLongestBeginningOfWholeCharacters) {
  const size_t expected[] = {0, 1, 1, 3, 3, 3, 6, 6, 6, 6, 10, 11, 11};
  for (size_t bytes = 0; bytes < std::size(expected); ++bytes) {
    EXPECT_EQ(cut_utf8(kMixed, bytes), kMixed.substr(0, expected[bytes])) << bytes;
  }
}

TEST(CutUtf8, CutsBytesThatAreNoUtf8WhereAsked) {
  EXPECT_EQ(cut_utf8("\x80\x80\x80\x80\x80\x80", 5).size(), 5u);
  EXPECT_EQ(cut_utf8("\xFF\xFF\xFF", 2).size(), 2u);
}

}  // namespace
}  // namespace lowrank::text
