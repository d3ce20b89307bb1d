// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/glue.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdlib>
#include <filesystem>

#include "lowrank/base/error.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::data {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;
using ::testing::ThrowsMessage;

class Glue : public ::testing::Test {
 protected:
  void use(const std::string& task) {
    options_.format = Format::kGlue;
    options_.task = task;
    options_.folder = folder_.path().string();
  }

  Splits load(const std::string& task) {
    use(task);
    return load_splits(options_);
  }

  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }

  testing::TemporaryFolder folder_;
  DataOptions options_;
};

TEST_F(Glue, ReadsSst2AndItsTestSetWithoutLabels) {
  folder_.write("train.tsv", "sentence\tlabel\ngood film \t1\nbad \"film\t0\n");
  folder_.write("dev.tsv", "sentence\tlabel\nfine\t1\n");
  folder_.write("test.tsv", "index\tsentence\n0\tso so\n");
  const Splits splits = load("sst2");
  EXPECT_THAT(splits.train.classes, ElementsAre("0", "1"));
  ASSERT_EQ(splits.train.examples.size(), 2u);
  EXPECT_EQ(splits.train.examples[1].text, "bad \"film");
  EXPECT_EQ(splits.train.examples[1].label, 0);
  EXPECT_EQ(splits.validation.examples[0].label, 1);
  EXPECT_EQ(splits.test.examples[0].label, -1);
  EXPECT_FALSE(is_labelled(splits.test, splits.test.examples[0]));
  EXPECT_THAT(splits.report.notes, Contains("No validation example has the label 0."));
}

TEST_F(Glue, ReadsColaWithoutAHeaderAndWithoutTheLastNewline) {
  folder_.write("train.tsv", "gj04\t1\t\tThey left.\ngj04\t0\t*\tThem leaves.");
  folder_.write("test.tsv", "index\tsentence\n0\tWe left.\n");
  const Splits splits = load("cola");
  ASSERT_EQ(splits.train.examples.size() + splits.validation.examples.size(), 2u);
  EXPECT_EQ(splits.test.examples[0].text, "We left.");
}

TEST_F(Glue, ReadsMrpcWithItsByteOrderMarkAndSingleQuotes) {
  folder_.write("train.tsv",
                "\xEF\xBB\xBFQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n"
                "1\t1\t2\tHe said \"no.\t\"No,\" he said.\n0\t3\t4\ta\tb\n");
  folder_.write("dev.tsv", "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t1\t2\tc\td\n");
  const Splits splits = load("mrpc");
  ASSERT_EQ(splits.train.examples.size(), 2u);
  EXPECT_EQ(splits.train.examples[0].text, "He said \"no.");
  EXPECT_EQ(splits.train.examples[0].pair, "\"No,\" he said.");
  EXPECT_TRUE(splits.test.examples.empty());  // never taken out of the training data
}

TEST_F(Glue, ReadsMrpcAsItsAuthorsPublishedIt) {
  const std::string header = "Quality\t#1 ID\t#2 ID\t#1 String\t#2 String\r\n";
  folder_.write("msr_paraphrase_train.txt", header + "1\t1\t2\ta\tb\r\n0\t3\t4\tc\td\r\n");
  folder_.write("msr_paraphrase_test.txt", header + "0\t1\t2\te\tf\r\n");
  folder_.write("test.tsv", "index\t#1 ID\t#2 ID\t#1 String\t#2 String\n0\t1\t2\te\tf\n");
  options_.validation_share = 0;
  const Splits splits = load("mrpc");
  EXPECT_EQ(splits.train.examples.size(), 2u);
  EXPECT_EQ(splits.test.examples[0].label, 0);
  const std::vector<GlueTest> tests = read_glue_tests(options_);
  ASSERT_EQ(tests.size(), 1u);
  EXPECT_EQ(tests[0].submission, "MRPC.tsv");
  EXPECT_EQ(tests[0].dataset.examples[0].label, -1);
}

TEST_F(Glue, ReadsTheScoresOfStsB) {
  const std::string header =
      "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2";
  folder_.write("train.tsv", header + "\tscore\n0\ta\tb\tc\td\te\tf\tx\ty\t3.800\n");
  folder_.write("dev.tsv", header + "\tscore\n0\ta\tb\tc\td\te\tf\tx\tz\t0.000\n");
  folder_.write("test.tsv", header + "\n0\ta\tb\tc\td\te\tf\tx\ty\n");
  const Splits splits = load("stsb");
  EXPECT_EQ(splits.train.label_kind, LabelKind::kNumber);
  EXPECT_THAT(splits.train.classes, ElementsAre("score"));
  EXPECT_DOUBLE_EQ(splits.train.examples[0].number, 3.8);
  EXPECT_EQ(splits.validation.examples[0].number, 0);
  EXPECT_TRUE(std::isnan(splits.test.examples[0].number));
}

TEST_F(Glue, NamesAScoreOutOfRangeAndOneThatIsNoNumber) {
  const std::string header =
      "index\tgenre\tfilename\tyear\told_index\tsource1\tsource2\tsentence1\tsentence2\tscore\n";
  for (const auto& [label, fact] : {std::pair("5.5", "label 5.5 is not from 0 to 5"),
                                    std::pair("-1", "label -1 is not from 0 to 5"),
                                    std::pair("3,8", "label \"3,8\" is not a number"),
                                    std::pair("nan", "label \"nan\" is not a number")}) {
    folder_.write("train.tsv", header + "0\ta\tb\tc\td\te\tf\tx\ty\t" + label + "\n");
    EXPECT_THAT(
        [&] { load("stsb"); },
        ThrowsMessage<Error>(AllOf(HasSubstr(path("train.tsv") + ":2: "), HasSubstr(fact))));
  }
}

TEST_F(Glue, ReadsTheOtherPairsByTheirColumns) {
  folder_.write("train.tsv",
                "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\ta?\tb?\t1\n");
  EXPECT_EQ(load("qqp").train.examples.size() + load("qqp").validation.examples.size(), 1u);
  folder_.write(
      "train.tsv",
      "index\tquestion\tsentence\tlabel\n0\ta?\tb\tentailment\n1\tc?\td\tnot_entailment\n");
  folder_.write("dev.tsv", "index\tquestion\tsentence\tlabel\n0\te?\tf\tnot_entailment\n");
  EXPECT_EQ(load("qnli").validation.examples[0].label, 1);
  folder_.write("train.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tb\tentailment\n");
  folder_.write("dev.tsv", "index\tsentence1\tsentence2\tlabel\n0\ta\tc\tentailment\n");
  EXPECT_EQ(load("rte").train.examples[0].pair, "b");
}

TEST_F(Glue, ReadsMnliWithTwoDevelopmentAndTwoTestSets) {
  const std::string columns =
      "index\tpromptID\tpairID\tgenre\tsentence1_binary_parse\tsentence2_binary_parse\t"
      "sentence1_parse\tsentence2_parse\tsentence1\tsentence2";
  const std::string row = "0\t1\t2\tfiction\t(\t(\t(\t(\tpremise\thypothesis";
  folder_.write("train.tsv", columns + "\tlabel1\tgold_label\n" + row + "\tneutral\tneutral\n");
  const std::string labels = "\tlabel1\tlabel2\tlabel3\tlabel4\tlabel5\tgold_label\n";
  for (const auto& [name, gold] : {std::pair("dev_matched.tsv", "contradiction"),
                                   std::pair("dev_mismatched.tsv", "entailment")}) {
    folder_.write(name, columns + labels + row + "\tx\tx\tx\tx\tx\t" + gold + "\n");
  }
  for (const char* name : {"test_matched.tsv", "test_mismatched.tsv"}) {
    folder_.write(name, columns + "\n" + row + "\n");
  }
  EXPECT_EQ(load("mnli").validation.examples[0].label, 2);
  EXPECT_EQ(load("mnli_mismatched").validation.examples[0].label, 0);
  const std::vector<GlueTest> tests = read_glue_tests(options_);
  ASSERT_EQ(tests.size(), 2u);
  EXPECT_EQ(tests[0].submission, "MNLI-m.tsv");
  EXPECT_EQ(tests[1].submission, "MNLI-mm.tsv");
  EXPECT_EQ(tests[1].dataset.examples[0].pair, "hypothesis");
}

// Every row of a test set has a line in the submission, empty or not.
TEST_F(Glue, KeepsEveryRowOfATestSet) {
  folder_.write("test.tsv", "id\tquestion1\tquestion2\n0\ta?\t\n1\t\tb?\n");
  use("qqp");
  options_.skip_bad = true;
  EXPECT_EQ(read_glue_tests(options_)[0].dataset.examples.size(), 2u);
  folder_.write("test.tsv", "id\tquestion1\tquestion2\n0\ta?\n");
  EXPECT_THAT([&] { read_glue_tests(options_); }, ThrowsMessage<Error>(HasSubstr("test.tsv:2: ")));
}

TEST_F(Glue, NamesBrokenRowsOrCountsThem) {
  folder_.write("train.tsv",
                "sentence\tlabel\na\t1\nb\nc\t2\n \t1\n" + std::string(1'000'000, 'x') + "\t0\n");
  folder_.write("dev.tsv", "sentence\tlabel\nd\t0\n");
  EXPECT_THAT([&] { load("sst2"); },
              ThrowsMessage<Error>(HasSubstr("train.tsv:3: 1 columns; the header has 2")));
  options_.skip_bad = true;
  const Splits splits = load("sst2");
  EXPECT_EQ(splits.train.examples.size(), 2u);
  EXPECT_EQ(splits.train.examples[1].text.size(), 1'000'000u);
  EXPECT_THAT(splits.report.dropped, ElementsAre(Pair("wrong column count", 1),
                                                 Pair("empty text", 1), Pair("unknown label", 1)));
}

TEST_F(Glue, NamesALabelOutOfRange) {
  folder_.write("train.tsv", "sentence\tlabel\na\t1\nb\t2\n");
  EXPECT_THAT([&] { load("sst2"); },
              ThrowsMessage<Error>(HasSubstr("train.tsv:3: label \"2\" is not one of 0, 1.")));
}

TEST_F(Glue, NamesAFileThatIsNotThereAndATaskThatThereIsNot) {
  EXPECT_THAT([&] { load("rte"); },
              ThrowsMessage<Error>(AllOf(HasSubstr("has no train.tsv"), HasSubstr("data.folder"))));
  EXPECT_THAT([&] { load("squad"); },
              ThrowsMessage<Error>(HasSubstr("task = \"squad\"; format = \"glue\" knows sst2, ")));
}

TEST(GlueTasks, HaveTheBenchmarksMetric) {
  EXPECT_EQ(glue_metric("cola"), "matthews");
  EXPECT_EQ(glue_metric("mrpc"), "f1");
  EXPECT_EQ(glue_metric("stsb"), "pearson");
  EXPECT_EQ(glue_metric("mnli_mismatched"), "accuracy");
}

// The published files, packed as they are kept.
struct Published {
  const char* task;
  size_t train, validation, test;
};

class PublishedGlue : public ::testing::TestWithParam<Published> {};

TEST_P(PublishedGlue, IsReadToItsLastRow) {
  const char* shared = std::getenv("LOWRANK_SHARED");
  const std::filesystem::path folder =
      std::filesystem::path(shared ? shared : "") / "data" / GetParam().task;
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  DataOptions options;
  options.format = Format::kGlue;
  options.task = GetParam().task;
  options.folder = folder.string();
  const Splits splits = load_splits(options);
  EXPECT_EQ(splits.train.examples.size(), GetParam().train);
  EXPECT_EQ(splits.validation.examples.size(), GetParam().validation);
  EXPECT_EQ(splits.test.examples.size(), GetParam().test);
  EXPECT_EQ(read_glue_tests(options)[0].dataset.examples.size(), GetParam().test);
}

INSTANTIATE_TEST_SUITE_P(All, PublishedGlue,
                         ::testing::Values(Published{"sst2", 67'349, 872, 1'821},
                                           Published{"cola", 8'551, 1'043, 1'063},
                                           Published{"mrpc", 3'668, 408, 1'725},
                                           Published{"stsb", 5'749, 1'500, 1'379}),
                         [](const auto& test) { return std::string(test.param.task); });

}  // namespace
}  // namespace lowrank::data
