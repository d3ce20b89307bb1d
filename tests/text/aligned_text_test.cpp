// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/aligned_text.h"

#include <gtest/gtest.h>

namespace lowrank::text {
namespace {

TEST(AlignedText, CountsFromItsPlaceInTheWhole) {
  const AlignedText text("abc", 10);
  EXPECT_EQ(text.origin(1, 3), (Span{11, 13}));
  EXPECT_EQ(text.origin(3, 3), (Span{13, 13}));
  EXPECT_EQ(text.part(1, 3).origin(0, 1), (Span{11, 12}));
}

TEST(Rewriting, KnowsWhereKeptBytesCameFrom) {
  const AlignedText text("abcdef", 10);
  Rewriting rewriting(text);
  rewriting.keep(1, 3);
  rewriting.keep(4, 6);
  const AlignedText kept = rewriting.finish();
  EXPECT_EQ(kept.text(), "bcef");
  EXPECT_EQ(kept.origin(0, 2), (Span{11, 13}));
  EXPECT_EQ(kept.origin(1, 3), (Span{12, 15}));
  EXPECT_EQ(kept.origin(4, 4), (Span{16, 16}));
}

TEST(Rewriting, LetsWhatReplacesBytesStandForAllOfThem) {
  const AlignedText text("abc");
  Rewriting rewriting(text);
  rewriting.replace(0, 0, "__");
  rewriting.replace(0, 2, "XYZ");
  rewriting.keep(2, 3);
  const AlignedText replaced = rewriting.finish();
  EXPECT_EQ(replaced.text(), "__XYZc");
  EXPECT_EQ(replaced.origin(0, 2), (Span{0, 0}));
  EXPECT_EQ(replaced.origin(3, 4), (Span{0, 2}));
  EXPECT_EQ(replaced.origin(0, 6), (Span{0, 3}));
}

TEST(WellFormed, ReplacesEachIllFormedSequenceByOneCharacter) {
  const AlignedText text = well_formed("a\xE2\x82z\xFF\xFE");
  EXPECT_EQ(text.text(), "a\xEF\xBF\xBDz\xEF\xBF\xBD\xEF\xBF\xBD");
  EXPECT_EQ(text.origin(1, 4), (Span{1, 3}));
  EXPECT_EQ(text.origin(8, 11), (Span{5, 6}));
}

}  // namespace
}  // namespace lowrank::text
