// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <sstream>

#include "lowrank/cli/abbreviations.h"
#include "lowrank/cli/escape.h"
#include "lowrank/cli/quantity.h"

namespace lowrank::cli {
namespace {

using ::testing::ElementsAre;

std::string printed(const Table& table) {
  std::ostringstream out;
  table.print(out);
  return out.str();
}

TEST(Table, AlignsTheFirstColumnLeftAndNumbersRight) {
  Table table({"class", "files"});
  table.add_row({"a", "1,024"});
  table.add_row({"longer", "7"});
  EXPECT_EQ(printed(table),
            "class   files\n"
            "a       1,024\n"
            "longer      7\n");
}

TEST(Table, CountsCharactersInsteadOfBytes) {
  Table table({"", ""}, 2);
  table.add_row({"\xC3\xA9t\xC3\xA9", "x"});
  table.add_row({"abc", "y"});
  EXPECT_EQ(printed(table), "\xC3\xA9t\xC3\xA9  x\nabc  y\n");
}

TEST(Abbreviations, AreAllDifferent) {
  const std::vector<std::string> names = {"torch_headers", "torch_python", "sympy", "a", "ab", ""};
  const std::vector<std::string> letters = abbreviations(names);
  EXPECT_EQ(std::set<std::string>(letters.begin(), letters.end()).size(), names.size());
  EXPECT_EQ(letters[0], "tohe");
  EXPECT_EQ(letters[1], "topy");
  EXPECT_EQ(letters[2], "sym");
}

TEST(Escaped, KeepsTextAndShowsControlCharactersAndBrokenUtf8) {
  EXPECT_EQ(escaped("a\tb\nc\r\x1b[0m"), "a\\tb\\nc\\r\\x1b[0m");
  EXPECT_EQ(escaped("\xC3\xA9"), "\xC3\xA9");
  EXPECT_EQ(escaped("\xC3(\xFF"), "\\xc3(\\xff");
  EXPECT_EQ(escaped(""), "");
}

TEST(Quantity, IsWrittenForPeople) {
  EXPECT_EQ(grouped(0), "0");
  EXPECT_EQ(grouped(999), "999");
  EXPECT_EQ(grouped(1234567), "1,234,567");
  EXPECT_EQ(grouped(-1000), "-1,000");
  EXPECT_EQ(counted(1, "file"), "1 file");
  EXPECT_EQ(counted(1200, "file"), "1,200 files");
  EXPECT_EQ(percent(0.9612), "96.1 %");
  EXPECT_EQ(duration(1.25), "1.2 s");
  EXPECT_EQ(duration(59.4), "59 s");
  EXPECT_EQ(duration(75), "1 min 15 s");
  EXPECT_EQ(duration(7260), "2 h 01 min");
}

}  // namespace
}  // namespace lowrank::cli
