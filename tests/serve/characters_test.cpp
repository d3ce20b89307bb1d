// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/characters.h"

#include <gtest/gtest.h>

namespace lowrank::serve {
namespace {

using text::Span;

TEST(Characters, AreCountedInCodePoints) {
  const Characters characters(
      "a\xC3\xA9\xE2\x82\xAC"
      "b");  // a, e acute, euro, b
  EXPECT_EQ(characters.of({0, 7}), (Span{0, 4}));
  EXPECT_EQ(characters.of({1, 3}), (Span{1, 2}));
  EXPECT_EQ(characters.of({3, 7}), (Span{2, 4}));
  EXPECT_EQ(characters.of({7, 7}), (Span{4, 4}));
}

TEST(Characters, AreWholeWhereASpanHoldsPartOfOne) {
  const Characters characters(
      "a\xE2\x82\xAC"
      "b");
  EXPECT_EQ(characters.of({2, 3}), (Span{1, 2}));
  EXPECT_EQ(characters.of({3, 5}), (Span{1, 3}));
}

TEST(Characters, TakeBytesThatAreNoUtf8) {
  EXPECT_EQ(Characters("\x80\x80").of({0, 1}), (Span{0, 0}));
  EXPECT_EQ(Characters("\xFF"
                       "a")
                .of({0, 2}),
            (Span{0, 2}));
  EXPECT_EQ(Characters("").of({0, 0}), (Span{0, 0}));
}

}  // namespace
}  // namespace lowrank::serve
