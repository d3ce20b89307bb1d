// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/bench_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>

#include "lowrank/base/config.h"
#include "lowrank/base/file.h"
#include "lowrank/cli/bench_report.h"
#include "tests/cli/signal_on.h"
#include "tests/cli/tiny_task.h"

namespace lowrank::testing {
namespace {

using ::testing::AllOf;
using ::testing::ContainsRegex;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

const std::vector<std::string> kTiny = {"--n",         "24,16", "--heads",  "2", "--head-size", "8",
                                        "--landmarks", "4",     "--conv",   "3", "--projected", "4",
                                        "--threads",   "1",     "--rounds", "3"};

Ran bench(std::vector<std::string> arguments, const std::vector<std::string>& more = {}) {
  arguments.insert(arguments.begin(), "bench");
  arguments.insert(arguments.end(), kTiny.begin(), kTiny.end());
  arguments.insert(arguments.end(), more.begin(), more.end());
  return lowrank(arguments);
}

// The words of each line of the table, its heading first.
std::vector<std::vector<std::string>> table_of(const std::string& out) {
  std::vector<std::vector<std::string>> lines;
  std::istringstream text(out);
  for (std::string line; std::getline(text, line) && (lines.empty() || !line.empty());) {
    std::istringstream words(line);
    std::vector<std::string> cells{std::istream_iterator<std::string>(words), {}};
    if (!lines.empty() || (!cells.empty() && cells[0] == "n")) lines.push_back(cells);
  }
  return lines;
}

class Bench : public ::testing::TestWithParam<const char*> {};

TEST_P(Bench, PrintsARowForEachLengthAndKindForwardAndBackward) {
  for (const bool backward : {false, true}) {
    const Ran ran = bench({GetParam()}, backward ? std::vector<std::string>{"--backward"}
                                                 : std::vector<std::string>{});
    ASSERT_EQ(ran.status, 0) << ran.err;
    EXPECT_THAT(ran.err, IsEmpty());
    EXPECT_THAT(ran.out, StartsWith(std::string(GetParam()) + ", "));
    EXPECT_THAT(ran.out, AllOf(HasSubstr("2 heads of 8"), HasSubstr("nystrom, 4 landmarks"),
                               HasSubstr("linformer, 4 projected rows"), HasSubstr("1 thread;")));
    const auto table = table_of(ran.out);
    ASSERT_EQ(table.size(), 7u) << ran.out;
    EXPECT_THAT(table[0], ElementsAre("n", "kind", "ms", "spread", "tokens/s", "peak", "MiB",
                                      "error", "exact", "/", "kind"));
    const std::vector<std::string> kinds = {"exact", "nystrom", "linformer"};
    for (size_t i = 1; i < table.size(); ++i) {
      EXPECT_EQ(table[i][0], i <= 3 ? "16" : "24");
      EXPECT_EQ(table[i][1], kinds[(i - 1) % 3]);
    }
    EXPECT_THAT(ran.out, AllOf(HasSubstr("\nnystrom "), HasSubstr(" exact attention ")));
  }
}

TEST_P(Bench, MeasuresInBfloat16) {
  EXPECT_EQ(bench({GetParam()}, {"--dtype", "bfloat16"}).status, 0);
}

INSTANTIATE_TEST_SUITE_P(All, Bench, ::testing::Values("attention", "layer", "model", "train"),
                         [](const auto& test) { return std::string(test.param); });

TEST(BenchCommand, PrintsThePapersTableWithSizesOfTheKindsOwn) {
  const Ran ran =
      lowrank({"bench", "attention", "--n", "32,64", "--heads", "2", "--head-size", "8", "--kinds",
               "exact,nystrom-4,nystrom-8,linformer-16", "--conv", "0", "--rounds", "1", "--wide"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("nystrom, 4 landmarks"));
  EXPECT_THAT(ran.out, HasSubstr("memory / time (times less)"));
  EXPECT_THAT(ran.out, ContainsRegex("nystrom-8 .* MiB / .* ms \\(.*, .*\\)"));
  EXPECT_EQ(lowrank({"bench", "attention", "--kinds", "nystrom-0"}).status, 2);
  EXPECT_EQ(lowrank({"bench", "attention", "--kinds", "exact-4"}).status, 2);
}

TEST(BenchCommand, WritesAllNumbersAsJson) {
  const TemporaryFolder folder;
  const std::string file = (folder.path() / "bench.json").string();
  ASSERT_EQ(bench({"attention"}, {"--json", file}).status, 0);
  const Json json = parse_json(read_file(file), file);
  EXPECT_EQ(json["what"], "attention");
  EXPECT_EQ(json["dtype"], "float32");
  EXPECT_EQ(json["threads"], 1);
  EXPECT_EQ(json["landmarks"], 4);
  for (const char* key : {"machine", "cpu_level", "commit", "backward", "crossover", "notes"}) {
    EXPECT_TRUE(json.contains(key)) << key;
  }
  ASSERT_EQ(json["cells"].size(), 6u);
  for (const Json& cell : json["cells"]) {
    EXPECT_EQ(cell["seconds"].size(), 3u);
    EXPECT_LE(cell["lower_quartile"], cell["median"]);
    EXPECT_LE(cell["median"], cell["upper_quartile"]);
    EXPECT_GT(cell["tokens_per_second"], 0);
    EXPECT_GE(cell["peak_bytes"], 0);
    EXPECT_EQ(cell["kind"] == "exact", cell["error"].is_null());
  }
  EXPECT_EQ(json["cells"][0]["ratio"], 1);
  EXPECT_EQ(json["crossover"].size(), 2u);
}

// What differs is the operator alone: weights and inputs are the same.
TEST(BenchCommand, FindsNoErrorWhereNystromAttentionIsExact) {
  const TemporaryFolder folder;
  const std::string file = (folder.path() / "bench.json").string();
  for (const char* what : {"attention", "layer"}) {
    ASSERT_EQ(bench({what}, {"--json", file, "--exact-up-to", "16"}).status, 0);
    const Json json = parse_json(read_file(file), file);
    EXPECT_LT(json["cells"][1]["error"], 1e-5) << what;
    EXPECT_GT(json["cells"][4]["error"], 1e-3) << what;
  }
}

TEST(BenchCommand, DrawsTimeAndMemory) {
  const TemporaryFolder folder;
  const Ran ran = bench({"attention"}, {"--plot", (folder.path() / "bench.png").string()});
  ASSERT_EQ(ran.status, 0) << ran.err;
  if (ran.err.find("no picture") != std::string::npos) GTEST_SKIP() << ran.err;
  for (const char* name : {"bench-time.png", "bench-memory.png"}) {
    EXPECT_THAT(read_file(folder.path() / name), StartsWith("\x89PNG")) << name;
    EXPECT_THAT(ran.err, HasSubstr(name));
  }
}

TEST(BenchCommand, MeasuresTheModelOfARecipeAndOfARun) {
  const TinyTask task;
  const Ran of_recipe = bench({"model", task.recipe()});
  ASSERT_EQ(of_recipe.status, 0) << of_recipe.err;
  EXPECT_THAT(of_recipe.out, HasSubstr("1 layer, 2 heads of 8"));
  ASSERT_EQ(lowrank({"train", task.recipe(), "--set", "train.steps=1"}).status, 0);
  const Ran of_run = bench({"train", task.model(), "--kinds", "nystrom"});
  ASSERT_EQ(of_run.status, 0) << of_run.err;
  EXPECT_THAT(of_run.out, Not(HasSubstr("overtake")));  // nothing to compare with
}

TEST(BenchCommand, EndsWithTheLengthsThatAreDoneWhenInterrupted) {
  SignalOn buffer("n 1,024 ", SIGINT);
  std::ostream err(&buffer);
  std::istringstream in;
  std::ostringstream out;
  const std::vector<std::string> arguments = {"bench", "attention",   "--n", "16,1024",  "--heads",
                                              "2",     "--head-size", "8",   "--rounds", "1000"};
  EXPECT_EQ(cli::run_program(arguments, {in, out, err, /*err_is_terminal=*/true}), 130);
  EXPECT_THAT(buffer.str(), HasSubstr("lowrank bench: interrupted; the table holds the lengths "
                                      "that were done.\n"));
  EXPECT_EQ(table_of(out.str()).size(), 4u) << out.str();
}

TEST(BenchCommand, LeavesOutWhatWouldTakeTooLong) {
  const Ran ran = lowrank({"bench", "attention", "--n", "1048576", "--kinds", "exact", "--heads",
                           "1", "--head-size", "8", "--threads", "1", "--max-seconds", "1"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(table_of(ran.out)[1],
              ElementsAre("1,048,576", "exact", "-", "-", "-", "-", "-", "-"));
  EXPECT_THAT(ran.out,
              HasSubstr("\nexact at 1,048,576 tokens is left out: a run would take about "));
}

TEST(BenchCommand, SaysWhatIsWrongWithItsArguments) {
  const auto refused = [](const std::vector<std::string>& arguments, const std::string& fact) {
    const Ran ran = lowrank(arguments);
    EXPECT_EQ(ran.status, 2) << ran.err;
    EXPECT_THAT(ran.err, AllOf(StartsWith("lowrank bench: "), HasSubstr(fact)));
    EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1);
  };
  refused({"bench", "atention"},
          "WHAT = atention is not one of attention, layer, model, train. "
          "Did you mean attention?");
  refused({"bench", "attention", "--n", "0"}, "--n = 0 is not a whole number from 1 to 1048576.");
  refused({"bench", "attention", "--kinds", "exact,nistrom"}, "Did you mean nystrom?");
  refused({"bench", "attention", "--conv", "4"},
          "--conv = 4; it must be odd, or 0 for none. Use 5.");
  refused({"bench", "layer", "runs/x"}, "Use \"lowrank bench model runs/x\".");
  refused({"bench", "attention", "--json", "/nowhere/at.json"}, "/nowhere does not exist");
  refused({"bench", "model", "absent.toml"}, "absent.toml");
}

// Exact attention costs n^2, the other 300 n: they meet at 300 tokens.
cli::BenchResult result_of(const std::vector<int64_t>& lengths) {
  cli::BenchResult result{"attention, forward", {}, {}};
  for (const int64_t n : lengths) {
    const double length = static_cast<double>(n);
    for (const char* kind : {"exact", "nystrom"}) {
      cli::BenchCell cell;
      cell.n = n;
      cell.kind = kind;
      cell.seconds = {1e-6 * length * (kind == std::string("exact") ? length : 300)};
      cell.time = quartiles(cell.seconds);
      cell.ratio = kind == std::string("exact") ? 1 : 300 / length;
      result.cells.push_back(cell);
    }
  }
  return result;
}

std::string printed(const cli::BenchResult& result) {
  cli::BenchFlags flags;
  flags.kinds = {"exact", "nystrom"};
  std::ostringstream out;
  print(result, flags, out);
  return out.str();
}

TEST(BenchReport, SaysFromWhichLengthAKindOvertakesExactAttention) {
  EXPECT_THAT(printed(result_of({128, 512, 1024})),
              HasSubstr("\nnystrom overtakes exact attention at about 300 tokens\n"));
  EXPECT_THAT(printed(result_of({512, 1024})),
              HasSubstr("\nnystrom overtakes exact attention below 512 tokens\n"));
  EXPECT_THAT(printed(result_of({128, 256})),
              HasSubstr("\nnystrom does not overtake exact attention up to 256 tokens\n"));
}

TEST(BenchReport, ShowsADashForWhatWasLeftOutAndSaysWhy) {
  cli::BenchResult result = result_of({128, 512});
  result.cells[2].seconds.clear();
  result.cells[3].ratio.reset();
  result.notes = {"exact at 512 tokens is left out: a run would take about 20 s"};
  const std::string out = printed(result);
  EXPECT_THAT(table_of(out)[3], ElementsAre("512", "exact", "-", "-", "-", "-", "-", "-"));
  EXPECT_THAT(out, HasSubstr("\nexact at 512 tokens is left out: "));
  EXPECT_THAT(out, HasSubstr("\nnystrom does not overtake exact attention up to 128 tokens\n"));
}

}  // namespace
}  // namespace lowrank::testing
