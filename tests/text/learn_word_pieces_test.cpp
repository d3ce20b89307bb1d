// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/learn_word_pieces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"
#include "lowrank/text/tokenizer_files.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::text {
namespace {

using lowrank::testing::TemporaryFolder;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

std::vector<std::string> learn(std::vector<std::string> texts, const WordPieceOptions& options) {
  size_t at = 0;
  return learn_word_pieces(
      [&](std::string& text) {
        if (at == texts.size()) return false;
        text = texts[at++];
        return true;
      },
      options);
}

const std::vector<std::string> kTexts = {"The lowest tower. The lowest flower, the lower tower!",
                                         "Low, lower, lowest: towers lower."};

TEST(LearnWordPieces, BeginsWithSpecialTokensAndHasNoMoreThanTheSize) {
  const std::vector<std::string> pieces = learn(kTexts, {.size = 40});
  ASSERT_LE(pieces.size(), 40u);
  EXPECT_THAT(std::vector<std::string>(pieces.begin(), pieces.begin() + 5),
              ElementsAre("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"));
  EXPECT_EQ(std::set<std::string>(pieces.begin(), pieces.end()).size(), pieces.size());
}

TEST(LearnWordPieces, FindsWholeWordsAndEndingsWhereThereIsRoom) {
  const std::vector<std::string> pieces = learn(kTexts, {.size = 200});
  for (const char* piece : {"the", "lower", "lowest", ",", "t", "##r"}) {
    EXPECT_THAT(pieces, Contains(piece));
  }
  EXPECT_THAT(pieces, Not(Contains("The")));
  EXPECT_THAT(learn(kTexts, {.size = 200, .lowercase = false}), Contains("The"));
}

// What load_tokenizer reads spells every text of known characters without the unknown token.
TEST(LearnWordPieces, MakesATokenizerThatSpellsTheTexts) {
  const TemporaryFolder folder;
  std::string lines;
  for (const std::string& piece : learn(kTexts, {.size = 45})) lines += piece + "\n";
  replace_file(folder.path() / "vocab.txt", lines);
  const auto tokenizer = load_tokenizer(folder.path());
  EXPECT_TRUE(tokenizer->mask() && tokenizer->cls());
  for (const std::string& text : kTexts) {
    EXPECT_THAT(tokenizer->encode(text), Not(Contains(tokenizer->unknown().value())));
  }
  EXPECT_EQ(tokenizer->decode(tokenizer->encode("the tower")), "the tower");
}

TEST(LearnWordPieces, LeavesRareCharactersOut) {
  const std::vector<std::string> pieces =
      learn({"aaaa bbbb aabb cc"}, {.size = 100, .most_characters = 2});
  EXPECT_THAT(pieces, Contains("##b"));
  EXPECT_THAT(pieces, Not(Contains("c")));
}

TEST(LearnWordPieces, ReadsBytesThatAreNotUtf8) {
  EXPECT_THAT(learn({"caf\xC3\xA9 \xFF\xFE caf"}, {.size = 100}), Contains("cafe"));
}

TEST(LearnWordPieces, SaysWhatItCannotDo) {
  EXPECT_THAT([] { learn({" \n "}, {}); }, ThrowsMessage<Error>(HasSubstr("no words")));
  EXPECT_THAT([] { learn(kTexts, {.size = 10}); },
              ThrowsMessage<Error>(HasSubstr("size = 10; special tokens and characters alone")));
}

}  // namespace
}  // namespace lowrank::text
