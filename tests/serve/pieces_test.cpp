// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/pieces.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/small_text_model.h"

namespace lowrank::serve {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::string kLong(100, 'x');  // and 102 tokens with CLS and SEP, where 33 fit

Pieces cut(const PieceOptions& options, const std::string& text) {
  return PieceCutter(testing::small_text_model(), options).cut({.text = text, .source = "a.txt:7"});
}

TEST(Pieces, AreOneForATextThatFitsWhateverThePolicy) {
  for (const Overflow policy :
       {Overflow::kError, Overflow::kTruncate, Overflow::kChunk, Overflow::kInterpolate}) {
    const Pieces got = cut({.on_overflow = policy}, "short");
    ASSERT_EQ(got.pieces.size(), 1u);
    EXPECT_EQ(got.pieces[0].encoded.ids.size(), 7u);
    EXPECT_EQ(got.pieces[0].weight, 5);
    EXPECT_FALSE(got.truncated);
  }
}

TEST(Pieces, OfALongTextAreRefusedNamingSourceAndBothLengths) {
  EXPECT_THAT(
      [] { cut({}, kLong); },
      ThrowsMessage<Error>("a.txt:7: 102 tokens; a sequence has at most 33. Use on_overflow "
                           "truncate, chunk or interpolate."));
  EXPECT_THAT([] { cut({.max_length = 10}, std::string(9, 'x')); },
              ThrowsMessage<Error>(HasSubstr("11 tokens; a sequence has at most 10")));
}

TEST(Pieces, OfALongTextAreItsBeginning) {
  const Pieces got = cut({.on_overflow = Overflow::kTruncate}, kLong);
  ASSERT_EQ(got.pieces.size(), 1u);
  EXPECT_EQ(got.tokens(), 33);
  EXPECT_TRUE(got.truncated);
}

TEST(Pieces, OfALongTextAreWindowsThatWeighTheirText) {
  const Pieces got = cut({.on_overflow = Overflow::kChunk}, kLong);
  ASSERT_EQ(got.pieces.size(), 4u);
  EXPECT_EQ(got.pieces[0].weight, 31);
  EXPECT_EQ(got.pieces[3].weight, 100 - 3 * 31);
  EXPECT_EQ(got.pieces[3].encoded.spans[1], (text::Span{93, 94}));
  EXPECT_FALSE(got.truncated);
}

TEST(Pieces, OfALongTextAreAllOfItInOne) {
  const Pieces got = cut({.on_overflow = Overflow::kInterpolate}, kLong);
  ASSERT_EQ(got.pieces.size(), 1u);
  EXPECT_EQ(got.tokens(), 102);
  EXPECT_THAT([] { cut({.on_overflow = Overflow::kInterpolate, .max_length = 101}, kLong); },
              ThrowsMessage<Error>(AllOf(HasSubstr("102 tokens"), HasSubstr("at most 101"))));
}

TEST(Pieces, NeedAText) {
  EXPECT_THAT(
      [] { cut({}, ""); },
      ThrowsMessage<Error>("a.txt:7 is empty; a text has at least one token. Leave it out."));
}

TEST(Pieces, NeedALengthThatTheModelTakesAndThatLeavesRoom) {
  EXPECT_THAT([] { cut({.max_length = 34}, "a"); },
              ThrowsMessage<Error>("max_length = 34; the model takes at most 33. Lower it, or use "
                                   "on_overflow interpolate."));
  EXPECT_THAT([] { cut({.max_length = 2}, "a"); },
              ThrowsMessage<Error>(HasSubstr("special tokens take 2 of it")));
}

TEST(Pieces, DoNotGrowWhereTheAttentionIsMadeForOneLength) {
  const TextModel model = testing::small_text_model(testing::small_text_config(
      models::Task::kEncoder, LinformerOptions{.projected = 4, .max_length = 33}));
  const PieceCutter cutter(model, {.on_overflow = Overflow::kInterpolate});
  EXPECT_THAT([&] { cutter.cut({.text = kLong}); },
              ThrowsMessage<Error>(AllOf(HasSubstr("102"), HasSubstr("33"))));
}

TEST(Pieces, KnowThePoliciesByName) {
  EXPECT_EQ(overflow_of("interpolate"), Overflow::kInterpolate);
  EXPECT_THAT([] { overflow_of("cut"); }, ThrowsMessage<Error>(HasSubstr("on_overflow = \"cut\"")));
}

}  // namespace
}  // namespace lowrank::serve
