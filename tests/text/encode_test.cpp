// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/encode.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/error.h"

namespace lowrank::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const ByteTokenizer kTokenizer;

std::string shown(const Encoded& encoded) { return kTokenizer.decode(encoded.ids); }

std::string shown(std::string_view text, std::optional<std::string_view> pair,
                  const EncodeOptions& options) {
  return shown(encode(kTokenizer, text, pair, options));
}

std::vector<std::string> windows(std::string_view text, std::optional<std::string_view> pair,
                                 const EncodeOptions& options) {
  std::vector<std::string> all;
  for (const Encoded& one : encode_windows(kTokenizer, text, pair, options)) {
    all.push_back(shown(one));
  }
  return all;
}

TEST(Encode, TellsOfEachTokenItsSegmentTextAndSpan) {
  const Encoded encoded = encode(kTokenizer, "ab", "c");
  EXPECT_EQ(shown(encoded), "[CLS]ab[SEP]c[SEP]");
  EXPECT_THAT(encoded.segments, ElementsAre(0, 0, 0, 0, 1, 1));
  EXPECT_THAT(encoded.texts, ElementsAre(-1, 0, 0, -1, 1, -1));
  EXPECT_THAT(encoded.spans,
              ElementsAre(Span{}, Span{0, 1}, Span{1, 2}, Span{}, Span{0, 1}, Span{}));
  EXPECT_FALSE(encoded.truncated);
}

TEST(Encode, LeavesSpecialTokensOutOnRequest) {
  EXPECT_EQ(shown("ab", "c", {.special_tokens = false}), "abc");
  EXPECT_EQ(shown("ab", std::nullopt, {.special_tokens = false}), "ab");
}

TEST(Encode, TakesAnEmptyPairForAPair) {
  EXPECT_EQ(shown("ab", "", {}), "[CLS]ab[SEP][SEP]");
  EXPECT_EQ(shown("", std::nullopt, {}), "[CLS][SEP]");
}

TEST(Encode, CutsTheEndAndSaysSo) {
  EXPECT_EQ(shown("abcdef", std::nullopt, {.max_length = 5}), "[CLS]abc[SEP]");
  EXPECT_TRUE(encode(kTokenizer, "abcdef", {.max_length = 5}).truncated);
  EXPECT_FALSE(encode(kTokenizer, "abc", {.max_length = 5}).truncated);
  EXPECT_EQ(shown("abc", std::nullopt, {.max_length = 2}), "[CLS][SEP]");
}

TEST(Encode, CutsTheLongerTextOfAPairFirstAndThenBoth) {
  EXPECT_EQ(shown("abcdef", "xy", {.max_length = 9}), "[CLS]abcd[SEP]xy[SEP]");
  EXPECT_EQ(shown("ab", "uvwxyz", {.max_length = 9}), "[CLS]ab[SEP]uvwx[SEP]");
  EXPECT_EQ(shown("abcdef", "uvwxyz", {.max_length = 9}), "[CLS]abc[SEP]uvw[SEP]");
  // The odd token goes to the longer text, to the second of two equal ones.
  EXPECT_EQ(shown("abcdefg", "uvwxyz", {.max_length = 8}), "[CLS]abc[SEP]uv[SEP]");
  EXPECT_EQ(shown("abcdef", "uvwxyz", {.max_length = 8}), "[CLS]ab[SEP]uvw[SEP]");
}

TEST(Encode, CutsOneTextAloneOnRequest) {
  const EncodeOptions first{.max_length = 8, .truncation = Truncation::kOnlyFirst};
  EXPECT_EQ(shown("abcdef", "xyz", first), "[CLS]ab[SEP]xyz[SEP]");
  const EncodeOptions second{.max_length = 8, .truncation = Truncation::kOnlySecond};
  EXPECT_EQ(shown("abc", "uvwxyz", second), "[CLS]abc[SEP]uv[SEP]");
}

TEST(Encode, NamesATextThatIsTooShortToGiveWay) {
  EXPECT_THAT(
      [] { shown("ab", "uvwxyz", {.max_length = 8, .truncation = Truncation::kOnlyFirst}); },
      ThrowsMessage<Error>("truncation = only_first; that text has 2 tokens, and 3 are too many. "
                           "Use longest_first, or raise max_length."));
  EXPECT_THAT(
      [] {
        shown("abcdef", std::nullopt, {.max_length = 4, .truncation = Truncation::kOnlySecond});
      },
      ThrowsMessage<Error>(HasSubstr("there is no second text to cut")));
}

TEST(Encode, NamesALengthThatTheSpecialTokensAloneExceed) {
  EXPECT_THAT([] { shown("a", "b", {.max_length = 2}); },
              ThrowsMessage<Error>(HasSubstr("max_length = 2; the special tokens alone are 3")));
  EXPECT_THAT([] { shown("a", "b", {.max_length = -1}); },
              ThrowsMessage<Error>(HasSubstr("max_length = -1")));
}

TEST(EncodeWindows, HoldTheWholeTextWithTheStrideInCommon) {
  EXPECT_THAT(windows("abcdefg", std::nullopt, {.max_length = 5, .stride = 1}),
              ElementsAre("[CLS]abc[SEP]", "[CLS]cde[SEP]", "[CLS]efg[SEP]"));
  EXPECT_THAT(windows("abcd", std::nullopt, {.max_length = 5}),
              ElementsAre("[CLS]abc[SEP]", "[CLS]d[SEP]"));
  EXPECT_THAT(windows("abc", std::nullopt, {.max_length = 5, .stride = 2}),
              ElementsAre("[CLS]abc[SEP]"));
  EXPECT_THAT(windows("abc", std::nullopt, {}), ElementsAre("[CLS]abc[SEP]"));
}

TEST(EncodeWindows, OfAPairMeetEachOther) {
  const EncodeOptions second{.max_length = 7, .truncation = Truncation::kOnlySecond};
  EXPECT_THAT(windows("ab", "wxyz", second),
              ElementsAre("[CLS]ab[SEP]wx[SEP]", "[CLS]ab[SEP]yz[SEP]"));
  EXPECT_THAT(windows("abc", "xyz", {.max_length = 7}),
              ElementsAre("[CLS]ab[SEP]xy[SEP]", "[CLS]c[SEP]xy[SEP]", "[CLS]c[SEP]z[SEP]",
                          "[CLS]ab[SEP]z[SEP]"));
}

TEST(EncodeWindows, KeepSpansOfTheWholeText) {
  const auto all = encode_windows(kTokenizer, "abcd", std::nullopt, {.max_length = 4});
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1].spans[1], (Span{2, 3}));
}

TEST(EncodeWindows, NameAStrideThatWouldNotGoOn) {
  EXPECT_THAT([] { windows("abcdef", std::nullopt, {.max_length = 4, .stride = 2}); },
              ThrowsMessage<Error>(HasSubstr("stride = 2; windows have room for 2 tokens")));
}

}  // namespace
}  // namespace lowrank::text
