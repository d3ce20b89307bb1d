// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/generate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <sstream>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"
#include "lowrank/data/dataset.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::data {
namespace {

using ::testing::HasSubstr;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

constexpr ListOpsOptions kShort{
    .min_length = 5, .max_length = 40, .max_depth = 4, .max_arguments = 4};

TEST(Generate, WritesListOpsAsALongRangeArenaRecipeReadsThem) {
  const TemporaryFolder folder;
  std::vector<int64_t> done;
  write_listops(folder.path(), {.train = 600, .validation = 50, .test = 40}, kShort,
                [&](int64_t count, int64_t total) {
                  EXPECT_EQ(total, 690);
                  done.push_back(count);
                });
  EXPECT_EQ(done.back(), 690);
  DataOptions options;
  options.format = Format::kTsv;
  options.train = {(folder.path() / "basic_train.tsv").string()};
  options.validation = {(folder.path() / "basic_val.tsv").string()};
  options.test = {(folder.path() / "basic_test.tsv").string()};
  options.text_column = "Source";
  options.label_column = "Target";
  const Splits splits = load_splits(options);
  EXPECT_EQ(splits.train.examples.size(), 600u);
  EXPECT_EQ(splits.validation.examples.size(), 50u);
  EXPECT_EQ(splits.test.examples.size(), 40u);
  std::set<std::string> texts;
  for (const Dataset* dataset : {&splits.train, &splits.validation, &splits.test}) {
    for (const Example& example : dataset->examples) {
      EXPECT_TRUE(texts.insert(example.text).second) << example.text;
      EXPECT_EQ(std::to_string(value_of_listops(example.text)),
                dataset->classes[static_cast<size_t>(example.label)]);
    }
  }
}

TEST(Generate, WritesTheSameBytesForTheSameSeed) {
  const TemporaryFolder folder;
  const auto written = [&](const std::string& name, uint64_t seed) {
    const GeneratedSize size{.train = 20, .validation = 2, .test = 2, .seed = seed};
    write_listops(folder.path() / name, size, kShort);
    write_pathfinder(folder.path() / name, size, {});
    return read_file(folder.path() / name / "basic_train.tsv") +
           read_file(folder.path() / name / "train.bin");
  };
  const std::string first = written("a", 1);
  EXPECT_EQ(written("b", 1), first);
  EXPECT_NE(written("c", 2), first);
}

TEST(Generate, EndsWhereThereAreNoMoreExpressions) {
  const TemporaryFolder folder;
  // Four operators of two digits: 400 expressions.
  const ListOpsOptions tiny{.min_length = 3, .max_length = 5, .max_depth = 2, .max_arguments = 2};
  EXPECT_THAT([&] { write_listops(folder.path(), {.train = 500}, tiny); },
              ThrowsMessage<Error>(HasSubstr("none is new after")));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "basic_train.tsv"));
  write_listops(folder.path(), {.train = 300}, tiny);
}

TEST(Generate, WritesAsManyConnectedPathsAsOthersInNoFixedOrder) {
  const TemporaryFolder folder;
  write_pathfinder(folder.path(), {.train = 100, .validation = 10, .test = 7}, {});
  const std::vector<Row> rows = read_image_rows((folder.path() / "train.bin").string());
  ASSERT_EQ(rows.size(), 100u);
  std::string labels;
  std::set<std::string> images;
  for (const Row& row : rows) {
    labels += row.label;
    images.insert(row.text);
  }
  EXPECT_EQ(std::count(labels.begin(), labels.end(), '1'), 50);
  EXPECT_NE(labels.find("11"), std::string::npos);
  EXPECT_NE(labels.find("00"), std::string::npos);
  EXPECT_EQ(images.size(), 100u);
  EXPECT_EQ(read_image_rows((folder.path() / "test.bin").string()).size(), 7u);
}

TEST(Generate, ShowsTheFirstImagesOnASheet) {
  const TemporaryFolder folder;
  write_pathfinder(folder.path(), {.train = 5}, {.contour_length = 6});
  const std::vector<Row> rows = read_image_rows((folder.path() / "train.bin").string());
  const ImageSheet sheet = sheet_of(folder.path() / "train.bin", 2);
  EXPECT_EQ(sheet.width, 68);
  EXPECT_EQ(sheet.pixels.size(), 68u * 68);
  // Pixel (5, 7) of the fourth image, at the lower right.
  EXPECT_EQ(sheet.pixels[(34 + 5) * 68 + 34 + 7], static_cast<uint8_t>(rows[3].text[5 * 32 + 7]));
  EXPECT_EQ(sheet.pixels[33], 96);
}

}  // namespace
}  // namespace lowrank::data
