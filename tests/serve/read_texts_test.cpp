// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/read_texts.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sstream>

#include "tests/support/temporary_folder.h"

namespace lowrank::serve {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

// What was read, "source|text" or "source|text|pair", and what was complained of.
struct Gathered {
  std::vector<std::string> texts, complaints;

  TakeText take() {
    return [this](const TextInput& input) {
      texts.push_back(input.source + "|" + input.text + (input.pair ? "|" + *input.pair : ""));
    };
  }
  Complain complain() {
    return [this](const std::string& sentence) { complaints.push_back(sentence); };
  }
};

Gathered read(const std::string& content, const ReadOptions& options) {
  Gathered gathered;
  std::istringstream stream(content);
  read_texts(stream, "in", options, gathered.take(), gathered.complain());
  return gathered;
}

TEST(ReadTexts, TakesAWholeStreamAsItIs) {
  EXPECT_THAT(read("a\r\n\nb\n", {}).texts, ElementsAre("in|a\r\n\nb\n"));
}

TEST(ReadTexts, NumbersLinesAndTakesTheirEndsAndTheByteOrderMarkOff) {
  const Gathered got = read("\xEF\xBB\xBF one\r\n\ntwo", {.format = TextFormat::kLines});
  EXPECT_THAT(got.texts, ElementsAre("in:1| one", "in:2|", "in:3|two"));
  EXPECT_THAT(got.complaints, IsEmpty());
}

TEST(ReadTexts, ReadsObjectsUnderTheKeysNamed) {
  const ReadOptions plain = {.format = TextFormat::kJsonLines};
  EXPECT_THAT(
      read("{\"text\": \"a\\n\", \"id\": 7}\n\n{\"text\": \"b\", \"pair\": \"c\"}\n", plain).texts,
      ElementsAre("in:1|a\n", "in:3|b|c"));
  EXPECT_THAT(read("{\"q\": \"a\", \"c\": null}\n{\"q\": \"a\", \"c\": \"d\"}",
                   {.format = TextFormat::kJsonLines, .text_key = "q", .pair_key = "c"})
                  .texts,
              ElementsAre("in:1|a", "in:2|a|d"));
}

TEST(ReadTexts, NamesEachLineThatIsNoObjectWithATextAndGoesOn) {
  const Gathered got =
      read("[1]\n{\"text\": 5}\n{\"txt\": \"a\"}\n{\"text\"\n{\"text\": \"fine\"}\n",
           {.format = TextFormat::kJsonLines});
  EXPECT_THAT(got.texts, ElementsAre("in:5|fine"));
  ASSERT_EQ(got.complaints.size(), 4u);
  EXPECT_EQ(got.complaints[0],
            "in:1: the line is JSON of type array; it must be an object. Write it as one, or read "
            "whole lines.");
  EXPECT_EQ(got.complaints[1], "in:2: \"text\" is of type number; a text is a string. Quote it.");
  EXPECT_THAT(got.complaints[2], HasSubstr("in:3: \"text\" is missing"));
  EXPECT_THAT(got.complaints[3], HasSubstr("in:4"));
}

TEST(ReadTexts, FindsFilesOfFoldersSortedAndLeavesHiddenOnesOut) {
  const testing::TemporaryFolder folder;
  folder.write("b/2.txt", "2");
  folder.write("a.txt", "a");
  folder.write("b/1.txt", "1");
  folder.write(".hidden", "no");
  folder.write(".git/config", "no");
  Gathered gathered;
  const auto files = find_texts({folder.path().string()}, gathered.complain());
  EXPECT_THAT(files, ElementsAre(folder.path() / "a.txt", folder.path() / "b/1.txt",
                                 folder.path() / "b/2.txt"));
  EXPECT_THAT(gathered.complaints, IsEmpty());
}

TEST(ReadTexts, NamesAFileThatIsNotThere) {
  for (const TextFormat format : {TextFormat::kWhole, TextFormat::kLines}) {
    Gathered gathered;
    read_texts("absent.txt", {.format = format}, gathered.take(), gathered.complain());
    EXPECT_THAT(gathered.texts, IsEmpty());
    EXPECT_THAT(gathered.complaints, ElementsAre(HasSubstr("absent.txt")));
  }
}

}  // namespace
}  // namespace lowrank::serve
