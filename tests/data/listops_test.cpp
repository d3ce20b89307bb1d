// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/listops.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>
#include <sstream>
#include <vector>

#include "lowrank/base/error.h"
#include "tests/support/packed.h"

namespace lowrank::data {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

fs::path shared(const std::string& name) {
  const char* folder = std::getenv("LOWRANK_SHARED");
  return fs::path(folder == nullptr ? "" : folder) / name;
}

// The columns of each line but the first `skipped`.
std::vector<std::vector<std::string>> table(const std::string& text, int skipped) {
  std::vector<std::vector<std::string>> rows;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    if (skipped-- > 0) continue;
    if (line.ends_with('\r')) line.pop_back();
    rows.emplace_back();
    std::istringstream columns(line);
    for (std::string column; std::getline(columns, column, '\t');) rows.back().push_back(column);
  }
  return rows;
}

std::vector<std::string> symbols(const std::string& expression) {
  std::vector<std::string> found;
  std::istringstream words(expression);
  for (std::string word; words >> word;) {
    if (word != "(" && word != ")") found.push_back(word);
  }
  return found;
}

TEST(ValueOfListOps, FollowsTheFourOperators) {
  EXPECT_EQ(value_of_listops("7"), 7);
  EXPECT_EQ(value_of_listops("[MIN 4 2 9 ]"), 2);
  EXPECT_EQ(value_of_listops("[MAX 4 2 9 ]"), 9);
  EXPECT_EQ(value_of_listops("[MED 9 2 4 ]"), 4);
  EXPECT_EQ(value_of_listops("[MED 9 2 4 5 ]"), 4);  // 4.5, rounded down
  EXPECT_EQ(value_of_listops("[SM 9 2 4 ]"), 5);
  EXPECT_EQ(value_of_listops("[SM 8 [MAX 1 [MIN 6 3 ] ] 9 ]"), 0);
  EXPECT_EQ(value_of_listops("( ( ( [MAX 8 ) ( ( ( [MED 5 ) 1 ) ] ) ) ] )"), 8);
}

TEST(ValueOfListOps, TakesAnyDepth) {
  std::string deep;
  for (int i = 0; i < 200'000; ++i) deep += "[MAX 1 ";
  deep += "7";
  for (int i = 0; i < 200'000; ++i) deep += " ]";
  EXPECT_EQ(value_of_listops(deep), 7);
}

TEST(ValueOfListOps, NamesWhatIsNoExpression) {
  const std::pair<const char*, const char*> mistakes[] = {
      {"", "there is no expression"},
      {"( )", "there is no expression"},
      {"[MIN 1 2", "[MIN is not closed"},
      {"[MIN 1 2 ] ]", "byte 11: \"]\" follows the expression"},
      {"] 1", "byte 0: \"]\" closes nothing"},
      {"[MIN ]", "[MIN has no arguments"},
      {"[SUM 1 2 ]", "\"[SUM\" is no symbol"},
      {"[MIN 1 12 ]", "byte 7: \"12\" is no symbol"},
  };
  for (const auto& [text, fact] : mistakes) {
    EXPECT_THAT([text = text] { value_of_listops(text); }, ThrowsMessage<Error>(HasSubstr(fact)));
  }
}

TEST(ValueOfListOps, EqualsTheRecordedAnswers) {
  const fs::path recorded = shared("golden/listops/expressions.tsv");
  if (!fs::exists(recorded)) {
    GTEST_SKIP() << "no recorded data: LOWRANK_SHARED has no golden/listops";
  }
  const auto rows = table(read_file(recorded), 1);
  EXPECT_EQ(rows.size(), 250u);
  for (const auto& row : rows) EXPECT_EQ(value_of_listops(row[3]), std::stoll(row[0])) << row[3];
}

TEST(ValueOfListOps, EqualsTheLabelsOfPublishedFiles) {
  const fs::path folder = shared("data/listops");
  if (!fs::exists(folder)) GTEST_SKIP() << "no data: LOWRANK_SHARED has no data/listops";
  for (const char* name : {"nangia_bowman_test_d20a.tsv.xz", "nangia_bowman_test_d20s.tsv.xz"}) {
    const auto rows = table(testing::unpacked(folder / name), 0);
    EXPECT_EQ(rows.size(), 10'000u);
    int64_t wrong = 0;
    for (const auto& row : rows) wrong += value_of_listops(row[1]) != std::stoll(row[0]) ? 1 : 0;
    EXPECT_EQ(wrong, 0) << name;
  }
}

TEST(DrawListOps, GivesExpressionsWithinTheLimitsAndTheirValues) {
  const ListOpsOptions options{
      .min_length = 20, .max_length = 60, .max_depth = 4, .max_arguments = 3};
  Random random({7});
  std::set<int64_t> depths;
  for (int i = 0; i < 300; ++i) {
    const ListOpsExample example = draw_listops(options, random);
    EXPECT_EQ(example.value, value_of_listops(example.expression));
    const std::vector<std::string> read = symbols(example.expression);
    EXPECT_EQ(example.length, std::ssize(read));
    EXPECT_GT(example.length, 20);
    EXPECT_LT(example.length, 60);
    int64_t depth = 0, deepest = 0;
    std::vector<int64_t> arguments = {0};
    for (const std::string& symbol : read) {
      if (symbol == "]") {
        --depth;
        EXPECT_GE(arguments.back(), 2);
        EXPECT_LE(arguments.back(), 3);
        arguments.pop_back();
        continue;
      }
      ++arguments.back();
      if (symbol[0] != '[') continue;
      arguments.push_back(0);
      deepest = std::max(deepest, ++depth);
    }
    EXPECT_EQ(example.depth, deepest);
    depths.insert(deepest);
  }
  EXPECT_EQ(*depths.rbegin(), 3);  // digits alone are at the largest depth
}

TEST(DrawListOps, WritesTheParenthesesOfLongRangeArena) {
  const ListOpsOptions options{
      .min_length = 3, .max_length = 9, .max_depth = 2, .max_arguments = 4};
  Random random({1});
  for (int i = 0; i < 20; ++i) {
    const ListOpsExample example = draw_listops(options, random);
    const std::vector<std::string> read = symbols(example.expression);
    std::string expected;
    for (size_t j = 0; j + 1 < read.size(); ++j) expected += "( ";
    expected += read[0];
    for (size_t j = 1; j < read.size(); ++j) expected += " " + read[j] + " )";
    EXPECT_EQ(example.expression, expected);
  }
}

TEST(DrawListOps, IsTheSameForTheSameSeedAndAnotherForAnother) {
  const auto drawn = [](uint64_t seed) {
    Random random({seed});
    return draw_listops({}, random).expression;
  };
  EXPECT_EQ(drawn(1), drawn(1));
  EXPECT_NE(drawn(1), drawn(2));
}

TEST(DrawListOps, RefusesLimitsThatNothingFits) {
  EXPECT_THAT([] { check(ListOpsOptions{.min_length = 9, .max_length = 10}); },
              ThrowsMessage<Error>(HasSubstr("min_length = 9, max_length = 10")));
  EXPECT_THAT([] { check(ListOpsOptions{.max_arguments = 1}); },
              ThrowsMessage<Error>(HasSubstr("max_arguments = 1")));
  EXPECT_THAT([] { check(ListOpsOptions{.nesting = 0}); },
              ThrowsMessage<Error>(HasSubstr("nesting = 0")));
  EXPECT_THAT([] { check(ListOpsOptions{.max_depth = 2}); },
              ThrowsMessage<Error>(HasSubstr("none of 20000 expressions")));
  check(ListOpsOptions{});
}

// Lengths, the operator at the root and the value.
struct Distribution {
  double mean = 0, deviation = 0;
  std::map<std::string, double> roots, values;  // shares
};

Distribution distribution_of(const std::vector<std::pair<std::string, std::string>>& examples) {
  Distribution distribution;
  const auto n = static_cast<double>(examples.size());
  std::vector<double> lengths;
  for (const auto& [expression, value] : examples) {
    const std::vector<std::string> read = symbols(expression);
    lengths.push_back(static_cast<double>(read.size()));
    distribution.mean += lengths.back() / n;
    distribution.roots[read[0]] += 1 / n;
    distribution.values[value] += 1 / n;
  }
  for (const double length : lengths) {
    distribution.deviation += (length - distribution.mean) * (length - distribution.mean) / n;
  }
  distribution.deviation = std::sqrt(distribution.deviation);
  return distribution;
}

// 2,000 of each: what is compared differs by more than five standard errors once in a million times.
TEST(DrawListOps, IsDistributedAsLongRangeArenasOwnGenerator) {
  const fs::path file = shared("data/listops/lra_generated_test.tsv.xz");
  if (!fs::exists(file)) GTEST_SKIP() << "no data: LOWRANK_SHARED has no data/listops";
  std::vector<std::pair<std::string, std::string>> theirs, ours;
  for (const auto& row : table(testing::unpacked(file), 1)) {
    EXPECT_EQ(value_of_listops(row[0]), std::stoll(row[1]));
    theirs.emplace_back(row[0], row[1]);
  }
  ASSERT_EQ(theirs.size(), 2000u);
  Random random({11});
  for (int i = 0; i < 2000; ++i) {
    ListOpsExample example = draw_listops({}, random);
    ours.emplace_back(std::move(example.expression), std::to_string(example.value));
  }
  const Distribution a = distribution_of(theirs), b = distribution_of(ours);
  const auto error = [](double deviation) { return 5 * deviation * std::sqrt(2.0 / 2000); };
  EXPECT_NEAR(a.mean, 1046, 1);
  EXPECT_NEAR(a.mean, b.mean, error(a.deviation));
  EXPECT_NEAR(a.deviation, b.deviation, error(a.deviation));
  const auto compare = [&](const std::map<std::string, double>& expected,
                           const std::map<std::string, double>& got) {
    EXPECT_EQ(expected.size(), got.size());
    for (const auto& [name, share] : expected) {
      EXPECT_NEAR(got.at(name), share, error(std::sqrt(share * (1 - share)))) << name;
    }
  };
  compare(a.roots, b.roots);
  compare(a.values, b.values);
}

}  // namespace
}  // namespace lowrank::data
