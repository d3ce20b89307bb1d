// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/byte_level.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "lowrank/text/characters.h"
#include "lowrank/text/pattern.h"

namespace lowrank::text {
namespace {

std::vector<std::string> words_of(std::string_view text) {
  std::vector<std::string> words;
  for (size_t at = 0; at < text.size();) {
    const size_t end = byte_level_word_end(text, at);
    words.emplace_back(text.substr(at, end - at));
    at = end;
  }
  return words;
}

// GPT-2's pattern as it is published, by a regular expression engine.
std::vector<std::string> words_by_expression(std::string_view text) {
  static const nlohmann::json kExpression = {
      {"Regex", R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)"}};
  static const Pattern kPattern(CheckedJson(kExpression, "test"));
  std::vector<std::string> words;
  for (const Range& match : kPattern.matches(text)) {
    words.emplace_back(text.substr(match.begin, match.end - match.begin));
  }
  return words;
}

TEST(ByteLevelWords, AreThoseOfThePublishedPattern) {
  const std::vector<std::string> parts = {" ",
                                          "  ",
                                          "\n",
                                          "\t",
                                          "\r\n",
                                          "\xC2\xA0",
                                          "\xE3\x80\x80",
                                          "'",
                                          "'s",
                                          "'re",
                                          "'l",
                                          "'v",
                                          "a",
                                          "Z",
                                          "7",
                                          "\xC2\xBD",
                                          "\xC3\xA4",
                                          "\xE6\xB3\xA8",
                                          "\xCC\x81",
                                          "!",
                                          "-",
                                          "\xF0\x9F\x98\x80",
                                          "\xE2\x80\x8B",
                                          "\xC2\x85",
                                          "\v",
                                          std::string(1, '\0')};
  std::mt19937 random(7);
  for (int round = 0; round < 20'000; ++round) {
    std::string text;
    for (size_t i = random() % 8; i > 0; --i) text += parts[random() % parts.size()];
    ASSERT_EQ(words_of(text), words_by_expression(text)) << testing::PrintToString(text);
  }
}

TEST(ByteLevelWords, TakeIllFormedBytesForCharactersOfNoClass) {
  EXPECT_EQ(words_of("a\xFF\xFE b\x80!"),
            (std::vector<std::string>{"a", "\xFF\xFE", " b", "\x80!"}));
}

TEST(PieceOfBytes, IsTheInverseOfBytesOfPiece) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  EXPECT_EQ(bytes_of_piece(piece_of_bytes(all)), all);
  EXPECT_EQ(piece_of_bytes(" \n!"), "\xC4\xA0\xC4\x8A!");
}

TEST(BytesOfPiece, AreNoneWhereACharacterIsNoByte) {
  EXPECT_EQ(bytes_of_piece("a b"), std::nullopt);
  EXPECT_EQ(bytes_of_piece("\xE6\xB3\xA8"), std::nullopt);
  EXPECT_EQ(bytes_of_piece("\xFF"), std::nullopt);
}

}  // namespace
}  // namespace lowrank::text
