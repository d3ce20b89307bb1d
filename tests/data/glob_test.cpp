// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/glob.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "lowrank/base/error.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::data {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

class FindFiles : public ::testing::Test {
 protected:
  FindFiles() {
    for (const char* name : {"a.cpp", "b.h", ".hidden.cpp", "src/c.cpp", "src/deep/d.cpp",
                             "src/deep/d_test.cpp", "src/.git/e.cpp"}) {
      folder_.write(name, "x");
    }
  }

  // The files found, relative to the folder; patterns are relative to it too.
  std::vector<std::string> find(std::vector<std::string> patterns) {
    for (std::string& pattern : patterns) {
      const bool excludes = pattern.starts_with('!');
      const bool name_only = excludes && pattern.find('/') == std::string::npos;
      if (!name_only) pattern.insert(excludes ? 1 : 0, folder_.path().string() + "/");
    }
    std::vector<std::string> found = find_files(patterns, notes_);
    for (std::string& file : found)
      file = std::filesystem::path(file).lexically_relative(folder_.path());
    return found;
  }

  testing::TemporaryFolder folder_;
  std::vector<std::string> notes_;
};

TEST_F(FindFiles, MatchesNamesWithoutCrossingFolders) {
  EXPECT_THAT(find({"*.cpp"}), ElementsAre("a.cpp"));
  EXPECT_THAT(find({"?.[h-i]"}), ElementsAre("b.h"));
  EXPECT_THAT(find({"s*/*.cpp"}), ElementsAre("src/c.cpp"));
}

TEST_F(FindFiles, MatchesHiddenNamesOnlyWhenThePatternHasTheDot) {
  EXPECT_THAT(find({".*.cpp"}), ElementsAre(".hidden.cpp"));
  EXPECT_THAT(find({"src/.git/*"}), ElementsAre("src/.git/e.cpp"));
}

TEST_F(FindFiles, LetsTwoStarsStandForAnyNumberOfFolders) {
  EXPECT_THAT(find({"**/*.cpp"}),
              ElementsAre("a.cpp", "src/c.cpp", "src/deep/d.cpp", "src/deep/d_test.cpp"));
  EXPECT_THAT(find({"src/**/d.cpp"}), ElementsAre("src/deep/d.cpp"));
}

TEST_F(FindFiles, ReadsAFolderWhole) {
  for (const char* pattern : {"src", "src/", "sr*/", "src/**"}) {
    EXPECT_THAT(find({pattern}), ElementsAre("src/c.cpp", "src/deep/d.cpp", "src/deep/d_test.cpp"))
        << pattern;
  }
}

TEST_F(FindFiles, LeavesOutWhatAnExclamationMarkMatches) {
  EXPECT_THAT(find({"**/*.cpp", "!src/**"}), ElementsAre("a.cpp"));
  EXPECT_THAT(find({"**/*.cpp", "!src/deep"}), ElementsAre("a.cpp", "src/c.cpp"));
  EXPECT_THAT(find({"!*_test.cpp", "**/*.cpp"}),
              ElementsAre("a.cpp", "src/c.cpp", "src/deep/d.cpp"));
  EXPECT_THAT(find({"src", "!deep"}), ElementsAre("src/c.cpp"));
}

TEST_F(FindFiles, GivesAFileThatTwoPatternsMatchOnce) {
  EXPECT_THAT(find({"a.cpp", "*.cpp", "./src/../a.cpp"}), ElementsAre("a.cpp"));
}

TEST_F(FindFiles, NotesAPatternThatMatchesNothing) {
  EXPECT_THAT(find({"*.rs", "absent", "a.cpp"}), ElementsAre("a.cpp"));
  EXPECT_THAT(notes_, ElementsAre(HasSubstr("*.rs\" matches no file."),
                                  HasSubstr("absent\" matches no file.")));
}

TEST_F(FindFiles, DoesNotRunInCirclesThroughLinks) {
  std::filesystem::create_directory_symlink(folder_.path(), folder_.path() / "src/loop");
  EXPECT_THAT(find({"**/c.cpp"}), ElementsAre("src/c.cpp"));
}

TEST_F(FindFiles, KeepsLinksThatLeadNowhereForTheReaderToName) {
  std::filesystem::create_symlink("absent", folder_.path() / "dangling.cpp");
  std::filesystem::create_symlink("self.cpp", folder_.path() / "self.cpp");
  EXPECT_THAT(find({"*.cpp"}), ElementsAre("a.cpp", "dangling.cpp", "self.cpp"));
}

TEST(ExpandVariables, ReplacesHomeAndNamedVariables) {
  setenv("HOME", "/home/me", 1);
  setenv("LOWRANK_TEST_VARIABLE", "value", 1);
  EXPECT_EQ(expand_variables("~"), "/home/me");
  EXPECT_EQ(expand_variables("~/x/~"), "/home/me/x/~");
  EXPECT_EQ(expand_variables("a/${LOWRANK_TEST_VARIABLE}/${LOWRANK_TEST_VARIABLE}b"),
            "a/value/valueb");
  EXPECT_EQ(expand_variables("$HOME"), "$HOME");
}

TEST(ExpandVariables, TakesTheDefaultOfAVariableThatIsUnsetOrEmpty) {
  unsetenv("LOWRANK_TEST_UNSET");
  setenv("LOWRANK_TEST_EMPTY", "", 1);
  EXPECT_EQ(expand_variables("${LOWRANK_TEST_UNSET:-/usr}/x"), "/usr/x");
  EXPECT_EQ(expand_variables("${LOWRANK_TEST_EMPTY:-/usr}/x"), "/usr/x");
  EXPECT_EQ(expand_variables("${LOWRANK_TEST_UNSET:-}x"), "x");
}

TEST(ExpandVariables, NamesAVariableThatIsNotSet) {
  unsetenv("LOWRANK_TEST_UNSET");
  EXPECT_THAT([] { expand_variables("a/${LOWRANK_TEST_UNSET}"); },
              ThrowsMessage<Error>("\"a/${LOWRANK_TEST_UNSET}\": the environment variable "
                                   "LOWRANK_TEST_UNSET is not set. Set it, or write "
                                   "${LOWRANK_TEST_UNSET:-default}."));
  EXPECT_THAT([] { expand_variables("${HOME"); }, ThrowsMessage<Error>(HasSubstr("has no \"}\"")));
}

}  // namespace
}  // namespace lowrank::data
