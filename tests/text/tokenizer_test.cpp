// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/tokenizer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/error.h"

namespace lowrank::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TEST(ByteTokenizer, GivesEveryByteItsOwnValue) {
  EXPECT_THAT(ByteTokenizer().encode(std::string_view("a\0\xFF", 3)), ElementsAre(97, 0, 255));
}

TEST(ByteTokenizer, DecodesWhatItEncoded) {
  std::string all;
  for (int byte = 0; byte < 256; ++byte) all += static_cast<char>(byte);
  const ByteTokenizer tokenizer;
  EXPECT_EQ(tokenizer.decode(tokenizer.encode(all)), all);
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("")), "");
}

TEST(ByteTokenizer, WritesSpecialIdsByName) {
  const std::vector<int64_t> ids = {256, 'h', 'i', 257, 258};
  EXPECT_EQ(ByteTokenizer().decode(ids), "[CLS]hi[SEP][MASK]");
}

TEST(ByteTokenizer, CallsExactlyTheThreeNamedIdsSpecial) {
  const ByteTokenizer tokenizer;
  for (int64_t id = 0; id < tokenizer.vocabulary(); ++id) {
    const bool named =
        id == tokenizer.cls() || id == tokenizer.separator() || id == tokenizer.mask();
    EXPECT_EQ(tokenizer.is_special(id), named) << id;
  }
}

TEST(ByteTokenizer, NamesAnIdOutsideTheVocabulary) {
  for (const int64_t id : {int64_t{-1}, int64_t{259}}) {
    EXPECT_THAT(
        [&] { ByteTokenizer().decode(std::vector<int64_t>{id}); },
        ThrowsMessage<Error>(HasSubstr("id = " + std::to_string(id) + "; an id is from 0 to 258")));
  }
}

TEST(MakeTokenizer, FindsATokenizerByTheNameItGivesItself) {
  EXPECT_EQ(make_tokenizer("bytes")->kind(), "bytes");
}

TEST(MakeTokenizer, NamesAnUnknownKind) {
  EXPECT_THAT(
      [] { make_tokenizer("words"); },
      ThrowsMessage<Error>(
          "tokenizer = \"words\"; it must be bytes, listops, files, or a folder that holds a "
          "tokenizer's files."));
}

}  // namespace
}  // namespace lowrank::text
