// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/generate_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/file.h"
#include "tests/cli/tiny_task.h"

namespace lowrank::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(GenerateCommand, WritesListOpsOfTheLengthsAsked) {
  const TemporaryFolder folder;
  const std::string output = (folder.path() / "listops").string();
  const Ran ran = lowrank({"generate", "listops", output, "--train", "30", "--validation", "3",
                           "--test", "2", "--min-length", "5", "--max-length", "30", "--max-depth",
                           "4", "--max-arguments", "3", "--seed", "4"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(ran.out, "listops: 30 to train on, 3 for validation, 2 to test in " + output + "\n");
  const std::string text = read_file(folder.path() / "listops" / "basic_test.tsv");
  EXPECT_THAT(text, StartsWith("Source\tTarget\n( "));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
}

TEST(GenerateCommand, WritesPathfinderImagesAndASheetOfThem) {
  const TemporaryFolder folder;
  const std::string output = (folder.path() / "pathfinder").string();
  const Ran ran = lowrank({"generate", "pathfinder", output, "--train", "6", "--validation", "2",
                           "--test", "2", "--contour-length", "9"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_EQ(read_file(folder.path() / "pathfinder" / "train.bin").size(), 6u * 1025);
  EXPECT_THAT(read_file(folder.path() / "pathfinder" / "sheet.png"), StartsWith("\x89PNG"));
  EXPECT_THAT(ran.out, HasSubstr("picture: " + output + "/sheet.png"));
}

TEST(GenerateCommand, NamesWhatCannotBe) {
  const TemporaryFolder folder;
  const std::string output = (folder.path() / "x").string();
  EXPECT_EQ(lowrank({"generate", "chess", output}).status, 2);
  EXPECT_EQ(lowrank({"generate", "pathfinder", output, "--contour-length", "40"}).status, 2);
  const Ran ran = lowrank({"generate", "listops", output, "--max-depth", "2"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, StartsWith("lowrank generate: listops: none of 20000 expressions"));
  EXPECT_FALSE(std::filesystem::exists(output));
}

}  // namespace
}  // namespace lowrank::testing
