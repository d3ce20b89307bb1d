// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/word_list.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/error.h"
#include "lowrank/text/encode.h"

namespace lowrank::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(WordListTokenizer, GivesEachWordOfTheListItsPlace) {
  const WordListTokenizer tokenizer("fruit", {"apple", "pear"}, {"and"});
  EXPECT_EQ(tokenizer.vocabulary(), 6);
  EXPECT_THAT(tokenizer.encode(" pear and\tapple\r\nplum"), ElementsAre(1, 0, 2));
  const Tokens tokens = tokenizer.encode_with_spans(" pear and\tapple\r\nplum");
  EXPECT_THAT(tokens.ids, ElementsAre(1, 0, 2));
  EXPECT_THAT(tokens.spans, ElementsAre(Span{1, 5}, Span{10, 15}, Span{17, 21}));
  EXPECT_TRUE(tokenizer.encode(" and ").empty());
  EXPECT_EQ(tokenizer.id("pear"), 1);
  EXPECT_EQ(tokenizer.id("and"), std::nullopt);
  EXPECT_EQ(tokenizer.token(2), "[UNK]");
  EXPECT_EQ(tokenizer.decode(std::vector<int64_t>{3, 1, 0, 4}), "[CLS] pear apple [SEP]");
  EXPECT_EQ(tokenizer.decode(std::vector<int64_t>{3, 1, 0, 4}, true), "pear apple");
  EXPECT_THAT([&] { tokenizer.token(6); }, ThrowsMessage<Error>(HasSubstr("from 0 to 5")));
}

TEST(WordListTokenizer, PutsItsSpecialTokensAroundTexts) {
  const WordListTokenizer tokenizer("fruit", {"apple", "pear"});
  const Tokens first = tokenizer.encode_with_spans("apple"),
               second = tokenizer.encode_with_spans("pear");
  EXPECT_THAT(assemble(tokenizer, first, nullptr, true).ids, ElementsAre(3, 0, 4));
  EXPECT_THAT(assemble(tokenizer, first, &second, true).ids, ElementsAre(3, 0, 4, 1, 4));
  EXPECT_THAT(assemble(tokenizer, first, &second, true).segments, ElementsAre(0, 0, 0, 1, 1));
}

TEST(WordListTokenizer, RefusesAListThatIsNotOfWords) {
  for (const std::vector<std::string>& words :
       {std::vector<std::string>{"a", "a"}, {"a b"}, {""}, {"[CLS]"}}) {
    EXPECT_THAT([&] { WordListTokenizer("bad", words); },
                ThrowsMessage<Error>(HasSubstr("each once")));
  }
}

TEST(ListOpsTokenizer, ReadsBracketsAndLeavesParenthesesOut) {
  const auto tokenizer = make_tokenizer("listops");
  EXPECT_EQ(tokenizer->kind(), "listops");
  EXPECT_LE(tokenizer->vocabulary(), 32);
  const std::vector<int64_t> ids = tokenizer->encode("( ( ( [MAX 8 ) ( ( [MED 5 ) ] ) ) ] )");
  EXPECT_THAT(ids, ElementsAre(11, 8, 12, 5, 14, 14));
  EXPECT_EQ(tokenizer->encode("[MAX 8 [MED 5 ] ]"), ids);
  EXPECT_EQ(tokenizer->decode(ids), "[MAX 8 [MED 5 ] ]");
}

}  // namespace
}  // namespace lowrank::text
