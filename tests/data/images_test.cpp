// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/images.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "lowrank/base/error.h"
#include "lowrank/data/dataset.h"
#include "tests/support/packed.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::data {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

// Image i has the label i % classes, and i in its first pixel.
std::string gray_file(int count, int classes) {
  std::string content;
  for (int i = 0; i < count; ++i) {
    GrayImage image;
    image.fill(200);
    image[0] = static_cast<uint8_t>(i);
    content += gray_record(image, static_cast<uint8_t>(i % classes));
  }
  return content;
}

TEST(Images, OfGrayRecordsAreTheirPixels) {
  const TemporaryFolder folder;
  const std::string path = folder.write("gray.bin", gray_file(3, 2));
  const std::vector<Row> rows = read_image_rows(path);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[2].text.size(), 1024u);
  EXPECT_EQ(rows[2].text[0], 2);
  EXPECT_EQ(static_cast<uint8_t>(rows[2].text[1023]), 200);
  EXPECT_EQ(rows[1].label, "1");
  EXPECT_EQ(rows[2].label, "0");
  EXPECT_EQ(rows[2].source, path + ":3");
}

TEST(Images, OfColorRecordsBecomeGray) {
  const TemporaryFolder folder;
  std::string record(1, 7);
  record += std::string(1024, '\xff') + std::string(1024, '\0') + std::string(1024, '\0');
  record += std::string(1, 9) + std::string(1024, '\x0a') + std::string(1024, '\x64') +
            std::string(1024, '\xc8');
  const std::vector<Row> rows = read_image_rows(folder.write("color.bin", record));
  ASSERT_EQ(rows.size(), 2u);
  EXPECT_EQ(rows[0].label, "7");
  EXPECT_EQ(rows[0].text, std::string(1024, 76));  // 0.299 of 255
  EXPECT_EQ(rows[1].text, std::string(1024, 84));  // 2.99 + 58.7 + 22.8
}

// The first 2,000 images of the official data_batch_1.bin.
TEST(Images, OfTheOfficialFileHaveTheirOfficialOrder) {
  const char* shared = std::getenv("LOWRANK_SHARED");
  const std::filesystem::path file = std::filesystem::path(shared == nullptr ? "" : shared) /
                                     "data/cifar10/data_batch_1.first2000.bin.xz";
  if (!std::filesystem::exists(file)) {
    GTEST_SKIP() << "no data: LOWRANK_SHARED has no data/cifar10";
  }
  const TemporaryFolder folder;
  const std::vector<Row> rows =
      read_image_rows(folder.write("data_batch_1.bin", testing::unpacked(file)));
  ASSERT_EQ(rows.size(), 2000u);
  std::string labels;
  for (size_t i = 0; i < 10; ++i) labels += rows[i].label;
  EXPECT_EQ(labels, "6994112783");
}

TEST(Images, OfAFileOfAnotherSizeAreRefused) {
  const TemporaryFolder folder;
  for (const size_t size : {size_t{0}, size_t{1024}, size_t{3074}}) {
    const std::string path = folder.write("part.bin", std::string(size, 'x'));
    EXPECT_THAT([&] { read_image_rows(path); },
                ThrowsMessage<Error>(AllOf(HasSubstr("part.bin: "), HasSubstr("neither fits"))));
  }
  const std::string both = folder.write("both.bin", std::string(size_t{1025} * 3073, '\1'));
  EXPECT_THAT([&] { read_image_rows(both); }, ThrowsMessage<Error>(HasSubstr("each fits")));
}

TEST(Images, OfADataSetAreSplitInTheirOrder) {
  const TemporaryFolder folder;
  DataOptions options;
  options.format = Format::kImages;
  options.train = {folder.write("train_1.bin", gray_file(6, 2)),
                   folder.write("train_2.bin", gray_file(4, 2))};
  options.test = {folder.write("test.bin", gray_file(2, 2))};
  options.validation_last = 3;
  const Splits splits = load_splits(options);
  ASSERT_EQ(splits.train.examples.size(), 7u);
  ASSERT_EQ(splits.validation.examples.size(), 3u);
  ASSERT_EQ(splits.test.examples.size(), 2u);
  EXPECT_EQ(splits.train.classes, (std::vector<std::string>{"0", "1"}));
  EXPECT_EQ(splits.validation.examples[0].text[0], 1);  // image 1 of the second file
  EXPECT_EQ(splits.validation.examples[0].label, 1);
  options.validation_last = 10;
  EXPECT_THAT([&] { load_splits(options); },
              ThrowsMessage<Error>(HasSubstr("validation_last = 10; train has 10 rows")));
}

}  // namespace
}  // namespace lowrank::data
