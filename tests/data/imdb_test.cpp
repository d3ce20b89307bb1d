// SPDX-License-Identifier: Apache-2.0
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "lowrank/base/error.h"
#include "lowrank/data/dataset.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::ThrowsMessage;

class Imdb : public ::testing::Test {
 protected:
  Splits load() {
    options_.format = Format::kImdb;
    options_.folder = folder_.path().string();
    options_.validation_share = options_.test_share = 0;
    return load_splits(options_);
  }

  testing::TemporaryFolder folder_;
  DataOptions options_;
};

TEST_F(Imdb, OfATableIsDividedAtItsFirstThreeTabs) {
  folder_.write("train.tsv", "1\t0\t9\tgood\tand long\n0\t1\t2\tbad");
  folder_.write("test.tsv", "0\t0\t1\t" + std::string(1'000'000, 'x') + "\n");
  const Splits splits = load();
  EXPECT_THAT(splits.train.classes, ElementsAre("neg", "pos"));
  ASSERT_EQ(splits.train.examples.size(), 2u);
  EXPECT_EQ(splits.train.examples[0].text, "good\tand long");
  EXPECT_EQ(splits.train.examples[0].label, 1);
  EXPECT_EQ(splits.test.examples[0].text.size(), 1'000'000u);
}

TEST_F(Imdb, OfFoldersIsReadAsPublished) {
  folder_.write("train/pos/0_9.txt", "good");
  folder_.write("train/neg/0_1.txt", "bad\nfilm");
  folder_.write("train/neg/1_2.txt", "");
  folder_.write("train/urls_pos.txt", "http://x");
  folder_.write("test/pos/0_10.txt", "fine");
  const Splits splits = load();
  EXPECT_EQ(splits.train.examples.size(), 2u);
  EXPECT_EQ(splits.test.examples[0].label, 1);
  EXPECT_THAT(splits.report.dropped, ElementsAre(Pair("shorter than 1 bytes", 1)));
}

TEST_F(Imdb, NamesBrokenRowsByFileAndLine) {
  folder_.write("train.tsv", "1\t0\t9\tgood\n2\t1\t2\tbad\n");
  EXPECT_THAT([&] { load(); },
              ThrowsMessage<Error>(HasSubstr("train.tsv:2: label \"2\" is neither 0 nor 1")));
  folder_.write("train.tsv", "1\t0\tgood\n");
  EXPECT_THAT([&] { load(); },
              ThrowsMessage<Error>(HasSubstr("train.tsv:1: 3 columns; this format has 4")));
  folder_.write("train.tsv", "1\t0\t9\t\n");
  EXPECT_THAT([&] { load(); }, ThrowsMessage<Error>(HasSubstr("train.tsv:1: \"text\" is empty")));
}

TEST_F(Imdb, NamesAFolderThatHasNeitherForm) {
  EXPECT_THAT([&] { load(); }, ThrowsMessage<Error>(HasSubstr("neither train.tsv nor train/pos")));
  options_.folder.clear();
  options_.format = Format::kImdb;
  EXPECT_THAT([&] { load_splits(options_); },
              ThrowsMessage<Error>(HasSubstr("format = \"imdb\" needs folder")));
}

TEST(PublishedImdb, IsReadToItsLastReview) {
  const char* shared = std::getenv("LOWRANK_SHARED");
  const std::filesystem::path folder = std::filesystem::path(shared ? shared : "") / "data/imdb";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  DataOptions options;
  options.format = Format::kImdb;
  options.folder = folder.string();
  options.validation_share = 0;
  const Splits splits = load_splits(options);
  EXPECT_EQ(splits.train.examples.size(), 25'000u);
  EXPECT_EQ(splits.test.examples.size(), 25'000u);
}

}  // namespace
}  // namespace lowrank::data
