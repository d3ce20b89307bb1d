// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/conll.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/error.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::ThrowsMessage;

class Conll : public ::testing::Test {
 protected:
  Splits load(std::string_view content) {
    options_.format = Format::kConll;
    options_.validation_share = options_.test_share = 0;
    options_.train = {folder_.write("train", content)};
    return load_splits(options_);
  }

  testing::TemporaryFolder folder_;
  DataOptions options_;
};

TEST_F(Conll, HoldsSentencesOfLabelledWords) {
  const Splits splits = load("-DOCSTART- -X- O\n\nEU NNP B-ORG\nrejects VBZ O \n\n\nPeter B-PER");
  EXPECT_EQ(splits.train.label_kind, LabelKind::kTag);
  EXPECT_THAT(splits.train.classes, ElementsAre("B-ORG", "B-PER", "O"));
  ASSERT_EQ(splits.train.examples.size(), 2u);
  const Example& first = splits.train.examples[0];
  EXPECT_EQ(first.text, "EU rejects");
  EXPECT_THAT(first.source, HasSubstr("train:3"));
  ASSERT_EQ(first.words.size(), 2u);
  EXPECT_EQ(first.words[1].begin, 3);
  EXPECT_EQ(first.words[1].end, 10);
  EXPECT_EQ(first.words[1].label, 2);
}

TEST_F(Conll, DividesColumnsAtTabsWhereThereAreAny) {
  const Splits splits = load("New York\tB-LOC\r\nis\tO\r\n");
  EXPECT_EQ(splits.train.examples[0].text, "New York is");
  EXPECT_EQ(splits.train.examples[0].words[0].end, 8);
}

TEST_F(Conll, NamesAWordWithoutALabelAndLeavesItsSentenceOut) {
  const std::string content = "a O\n\nb O\nc\nd O\n\ne B-X\n";
  EXPECT_THAT([&] { load(content); },
              ThrowsMessage<Error>(HasSubstr("train:4: a line has a word and its label")));
  options_.skip_bad = true;
  const Splits splits = load(content);
  EXPECT_EQ(splits.train.examples.size(), 2u);
  EXPECT_THAT(splits.report.dropped, ElementsAre(Pair("word without a label", 1)));
}

TEST_F(Conll, ChecksLabelsOfOtherSplitsAgainstThoseOfTrain) {
  options_.validation = {folder_.write("dev", "a B-NEW\n")};
  EXPECT_THAT([&] { load("a O\nb B-X\n"); },
              ThrowsMessage<Error>(HasSubstr("label \"B-NEW\" is not one of B-X, O")));
}

TEST_F(Conll, TakesAWordOfAMillionBytes) {
  const std::string word(1'000'000, 'x');
  EXPECT_EQ(load(word + " O\ny B-X\n").train.examples[0].text.size(), 1'000'002u);
}

}  // namespace
}  // namespace lowrank::data
