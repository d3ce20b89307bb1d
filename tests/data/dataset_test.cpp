// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/dataset.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <set>

#include "lowrank/base/error.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::data {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::Ge;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Le;
using ::testing::Pair;
using ::testing::ThrowsMessage;
using ::testing::UnorderedElementsAre;

std::string numbered(std::string prefix, int64_t number) {
  return prefix.append(std::to_string(number));
}

// The words `first` to `last` - 1 of a text that shares no word with that of another number.
std::string words(int64_t number, int64_t first, int64_t last) {
  std::string text;
  for (int64_t i = first; i < last; ++i) {
    text.append(numbered("w", number)).append(numbered("_", i)).append(" ");
  }
  return text;
}

std::string unique_text(int64_t number) { return words(number, 0, 20); }

std::vector<Example> all_examples(const Splits& splits) {
  std::vector<Example> all;
  for (const Dataset* side : {&splits.train, &splits.validation, &splits.test}) {
    all.insert(all.end(), side->examples.begin(), side->examples.end());
  }
  return all;
}

std::vector<std::string> texts(const std::vector<Example>& examples) {
  std::vector<std::string> result;
  for (const Example& example : examples) result.push_back(example.text);
  return result;
}

// Text -> the split it is in.
std::map<std::string, std::string> sides(const Splits& splits) {
  std::map<std::string, std::string> result;
  for (const Example& example : splits.train.examples) result[example.text] = "train";
  for (const Example& example : splits.validation.examples) result[example.text] = "validation";
  for (const Example& example : splits.test.examples) result[example.text] = "test";
  return result;
}

class Files : public ::testing::Test {
 protected:
  // A class whose files are those of the folder of its name.
  void add_class(const std::string& name) {
    options_.classes.push_back({name, {(folder_.path() / name).string()}});
  }

  Files() {
    options_.validation_share = options_.test_share = 0;
    add_class("b");
    add_class("a");
  }

  testing::TemporaryFolder folder_;
  DataOptions options_;
};

TEST_F(Files, BecomeExamplesOfTheirClass) {
  folder_.write("a/1.txt", "alpha");
  folder_.write("b/deep/2.txt", "beta");
  const Splits splits = load_splits(options_);
  EXPECT_THAT(splits.train.classes, ElementsAre("a", "b"));
  ASSERT_EQ(splits.train.examples.size(), 2u);
  for (const Example& example : splits.train.examples) {
    const bool alpha = example.text == "alpha";
    EXPECT_EQ(example.label, alpha ? 0 : 1);
    EXPECT_EQ(example.source, (folder_.path() / (alpha ? "a/1.txt" : "b/deep/2.txt")).string());
  }
}

TEST_F(Files, AreReadUpToMaxBytesWithoutSplittingACharacter) {
  folder_.write("a/1", "12345\xC3\xA4");
  folder_.write("b/2", "1234567");
  options_.max_bytes = 6;
  EXPECT_THAT(texts(load_splits(options_).train.examples), UnorderedElementsAre("12345", "123456"));
}

TEST_F(Files, AreDroppedWhenShortOrBinary) {
  folder_.write("a/1", "long enough");
  folder_.write("a/2", "short");
  folder_.write("a/3", std::string("with a \0 byte", 13));
  folder_.write("a/4.py", "# a long comment and little else\nx = 1\n");
  folder_.write("b/5", "also long enough");
  folder_.write("b/6", "");
  options_.min_bytes = 10;
  options_.strip_leading_comments = true;
  const Splits splits = load_splits(options_);
  EXPECT_THAT(texts(splits.train.examples),
              UnorderedElementsAre("long enough", "also long enough"));
  EXPECT_THAT(splits.report.dropped, UnorderedElementsAre(Pair("binary (holds a NUL byte)", 1),
                                                          Pair("shorter than 10 bytes", 3)));
}

TEST_F(Files, KeepBytesThatAreNotUtf8AndNoteThem) {
  folder_.write("a/1", "caf\xE9");
  folder_.write("b/2", "other");
  const Splits splits = load_splits(options_);
  EXPECT_THAT(texts(splits.train.examples), Contains("caf\xE9"));
  EXPECT_THAT(splits.report.notes,
              ElementsAre("1 files are not UTF-8; their bytes are taken as they "
                          "are."));
}

TEST_F(Files, OfTwoClassesLoseTheirDuplicates) {
  for (const char* name : {"a/1", "a/2", "b/3"}) folder_.write(name, unique_text(1));
  folder_.write("b/4", unique_text(1) + "one more word");
  folder_.write("a/5", unique_text(2));
  folder_.write("b/6", unique_text(3));
  const Splits splits = load_splits(options_);
  EXPECT_EQ(splits.train.examples.size(), 3u);
  int64_t dropped = 0;
  for (const auto& [reason, count] : splits.report.dropped) {
    EXPECT_THAT(reason, ::testing::AnyOf("exact duplicate", "near duplicate"));
    dropped += count;
  }
  EXPECT_EQ(dropped, 3);

  options_.drop_duplicates = false;
  EXPECT_EQ(load_splits(options_).train.examples.size(), 6u);
}

TEST_F(Files, AreTakenUpToMaxPerClass) {
  for (int i = 0; i < 9; ++i) folder_.write(numbered("a/", i), unique_text(i));
  folder_.write("b/1", unique_text(100));
  options_.max_per_class = 4;
  const Splits splits = load_splits(options_);
  EXPECT_EQ(splits.train.examples.size(), 5u);
  EXPECT_THAT(splits.report.dropped, ElementsAre(Pair("over max_per_class", 5)));
  EXPECT_EQ(texts(splits.train.examples), texts(load_splits(options_).train.examples));
}

TEST_F(Files, OfASmallClassAreLeftOutAndItIsNamed) {
  add_class("tiny");
  add_class("absent");
  for (int i = 0; i < 3; ++i) {
    folder_.write(numbered("a/", i), unique_text(i));
    folder_.write(numbered("b/", i), unique_text(10 + i));
  }
  folder_.write("tiny/1", unique_text(20));
  options_.min_per_class = 3;
  const Splits splits = load_splits(options_);
  EXPECT_THAT(splits.train.classes, ElementsAre("a", "b"));
  EXPECT_EQ(splits.train.examples.size(), 6u);
  EXPECT_THAT(splits.report.dropped, ElementsAre(Pair("class under min_per_class", 1)));
  EXPECT_THAT(splits.report.notes,
              ElementsAre(AllOf(HasSubstr("Class \"absent\": "), HasSubstr("matches no file.")),
                          "Class \"absent\" is left out: 0 files; min_per_class = 3.",
                          "Class \"tiny\" is left out: 1 files; min_per_class = 3."));
}

TEST_F(Files, OfTooFewClassesAreAnError) {
  folder_.write("a/1", "alpha");
  EXPECT_THAT(
      [&] { load_splits(options_); },
      ThrowsMessage<Error>(AllOf(HasSubstr("the classes with examples are 1 (a)"),
                                 HasSubstr("min_classes = 2"), HasSubstr("b\" matches no file."))));
  folder_.write("b/1", "beta");
  options_.min_classes = 3;
  EXPECT_THAT([&] { load_splits(options_); }, ThrowsMessage<Error>(HasSubstr("min_classes = 3")));
}

TEST_F(Files, ThatMatchNothingAtAllAreAnError) {
  EXPECT_THAT([&] { load_splits(options_); },
              ThrowsMessage<Error>(HasSubstr("no examples are left to train on")));
}

TEST_F(Files, ThatCannotBeReadAreNamedOrCounted) {
  folder_.write("a/1", "alpha");
  folder_.write("b/1", "beta");
  std::filesystem::create_symlink("gone", folder_.path() / "a/dangling");
  std::filesystem::create_symlink("circle", folder_.path() / "b/circle");
  EXPECT_THAT([&] { load_splits(options_); },
              ThrowsMessage<Error>(
                  AllOf(HasSubstr(folder_.path().string()), HasSubstr("skip_bad = true"))));
  options_.skip_bad = true;
  const Splits splits = load_splits(options_);
  EXPECT_EQ(splits.train.examples.size(), 2u);
  EXPECT_THAT(splits.report.dropped, ElementsAre(Pair("unreadable file", 2)));
}

TEST_F(Files, OfTwoClassesAtOnceAreNamedOrCounted) {
  folder_.write("a/1", "alpha");
  folder_.write("a/2", "another");
  folder_.write("b/1", "beta");
  options_.classes[0].second.push_back((folder_.path() / "a/2").string());
  EXPECT_THAT([&] { load_splits(options_); },
              ThrowsMessage<Error>(HasSubstr("a/2: the globs of both \"b\" and \"a\" match")));
  options_.skip_bad = true;
  EXPECT_THAT(texts(load_splits(options_).train.examples), UnorderedElementsAre("alpha", "beta"));
}

TEST_F(Files, AreSplitByContentWhateverTheirNames) {
  testing::TemporaryFolder other;
  DataOptions renamed = options_;
  for (auto& [name, patterns] : renamed.classes) patterns = {(other.path() / name).string()};
  for (int i = 0; i < 200; ++i) {
    const std::string label = i % 2 ? "a/" : "b/";
    folder_.write(numbered(label, i), unique_text(i));
    other.write(numbered(label + "x", 1000 - i), unique_text(i));
  }
  options_.validation_share = options_.test_share = 0.2;
  renamed.validation_share = renamed.test_share = 0.2;
  const Splits splits = load_splits(options_);
  EXPECT_EQ(sides(splits), sides(load_splits(renamed)));
  // 40 of 200 expected; 5 standard deviations are 28.
  EXPECT_NEAR(static_cast<double>(splits.validation.examples.size()), 40, 28);
  EXPECT_NEAR(static_cast<double>(splits.test.examples.size()), 40, 28);
  EXPECT_EQ(all_examples(splits).size(), 200u);
}

TEST_F(Files, ThatAreNearDuplicatesStandOnOneSide) {
  // Chains: each text is near the one before, the ends are not near each other.
  for (int chain = 0; chain < 40; ++chain) {
    for (int link = 0; link < 5; ++link) {
      const std::string name = numbered(link % 2 ? "a/" : "b/", 5 * chain + link);
      folder_.write(name, words(chain, 10 * link, 10 * link + 50));
    }
  }
  options_.drop_duplicates = false;
  options_.validation_share = options_.test_share = 0.3;
  std::map<std::string, std::set<std::string>> sides_of_chain;
  std::set<std::string> used;
  for (const auto& [text, side] : sides(load_splits(options_))) {
    sides_of_chain[text.substr(0, text.find('_'))].insert(side);
    used.insert(side);
  }
  EXPECT_EQ(sides_of_chain.size(), 40u);
  for (const auto& [chain, found] : sides_of_chain) EXPECT_EQ(found.size(), 1u) << chain;
  EXPECT_EQ(used.size(), 3u);
}

TEST_F(Files, ReportProgressToTheEnd) {
  for (int i = 0; i < 50; ++i) folder_.write(numbered(i % 2 ? "a/" : "b/", i), unique_text(i));
  std::vector<std::pair<int64_t, int64_t>> seen;
  load_splits(options_, [&](int64_t done, int64_t total) { seen.emplace_back(done, total); });
  ASSERT_FALSE(seen.empty());
  EXPECT_TRUE(std::is_sorted(seen.begin(), seen.end()));
  EXPECT_THAT(seen.back(), Pair(50, 50));
}

TEST_F(Files, AreReadForPredictionAsForTraining) {
  options_.max_bytes = 20;
  options_.strip_leading_comments = true;
  const Example example = load_file(folder_.write("x.py", "# comment\nimport sys, os\n"), options_);
  EXPECT_EQ(example.text, "import sys");
  EXPECT_EQ(example.label, -1);
  EXPECT_EQ(example.source, (folder_.path() / "x.py").string());
}

TEST_F(Files, ThatHoldNothingToPredictAreNamed) {
  options_.strip_leading_comments = true;
  const auto message = [&](const std::string& name, std::string_view content) {
    return [this, name, content] { load_file(folder_.write(name, content), options_); };
  };
  EXPECT_THAT(
      message("x.py", "# only\n"),
      ThrowsMessage<Error>(HasSubstr("x.py: nothing is left to read in this file without its "
                                     "leading comments.")));
  EXPECT_THAT(message("y", std::string_view("\0", 1)),
              ThrowsMessage<Error>(HasSubstr("y: the file holds a NUL byte")));
  EXPECT_THAT([&] { load_file("absent", options_); }, ThrowsMessage<Error>(HasSubstr("absent")));
}

class Rows : public ::testing::Test {
 protected:
  Rows() {
    options_.validation_share = options_.test_share = 0;
    options_.min_classes = 1;
  }

  Splits load(Format format, std::string_view content) {
    options_.format = format;
    options_.train = {folder_.write("train", content)};
    return load_splits(options_);
  }

  std::string path() const { return (folder_.path() / "train").string(); }

  testing::TemporaryFolder folder_;
  DataOptions options_;
};

TEST_F(Rows, OfTsvAreReadByColumnName) {
  options_.text_column = "sentence";
  options_.pair_column = "other";
  const Splits splits = load(Format::kTsv,
                             "other\tlabel\tsentence\n"
                             "x y\tno\t\"quoted\n"
                             "z\tyes\tb");
  EXPECT_THAT(splits.train.classes, ElementsAre("no", "yes"));
  ASSERT_EQ(splits.train.examples.size(), 2u);
  const Example& first = splits.train.examples[0];
  EXPECT_EQ(first.text, "\"quoted");
  EXPECT_EQ(first.pair, "x y");
  EXPECT_EQ(first.label, 0);
  EXPECT_EQ(first.source, path() + ":2");
  EXPECT_EQ(splits.train.examples[1].label, 1);
}

TEST_F(Rows, MayEndInCarriageReturnsBeginWithABomAndLackTheLastNewline) {
  const Splits splits = load(Format::kTsv, "\xEF\xBB\xBFtext\tlabel\r\na\tx\r\n\r\nb\ty");
  EXPECT_THAT(texts(splits.train.examples), ElementsAre("a", "b"));
  EXPECT_THAT(splits.train.classes, ElementsAre("x", "y"));
  EXPECT_EQ(splits.train.examples[1].source, path() + ":4");
}

TEST_F(Rows, MayBeAMillionBytesLong) {
  const std::string text(1'000'000, 'x');
  EXPECT_EQ(load(Format::kTsv, "text\tlabel\n" + text + "\ta\n").train.examples[0].text, text);
  EXPECT_EQ(
      load(Format::kJsonl, R"({"text": ")" + text + R"(", "label": "a"})").train.examples[0].text,
      text);
  EXPECT_EQ(load(Format::kText, text).train.examples[0].text, text);
}

TEST_F(Rows, NeedNoLabelsWithoutALabelColumn) {
  options_.label_column = "";
  const Splits splits = load(Format::kTsv, "text\na\nb\n");
  EXPECT_THAT(splits.train.classes, IsEmpty());
  EXPECT_EQ(splits.train.examples[0].label, -1);
}

TEST_F(Rows, OfJsonLinesAreReadByKey) {
  const Splits splits = load(Format::kJsonl, R"({"label": 10, "text": "a\tb\u00e9"})"
                                             "\n\n"
                                             R"({"text": "c", "label": "x", "more": [1]})"
                                             "\r\n");
  EXPECT_THAT(texts(splits.train.examples), ElementsAre("a\tb\xC3\xA9", "c"));
  EXPECT_THAT(splits.train.classes, ElementsAre("10", "x"));
  EXPECT_EQ(splits.train.examples[1].source, path() + ":3");
}

TEST_F(Rows, OfTextAreDocumentsBetweenBlankLines) {
  const Splits splits = load(Format::kText, "\n\none\r\ntwo\r\n \r\n\nthree\n\n\n");
  EXPECT_THAT(texts(splits.train.examples), ElementsAre("one\ntwo", "three"));
  EXPECT_EQ(splits.train.examples[0].source, path() + ":3");
  EXPECT_EQ(splits.train.examples[1].source, path() + ":7");
}

TEST_F(Rows, OfTextMayEndAtASeparator) {
  options_.document_separator = "<end>";
  const Splits splits = load(Format::kText, "one\n\ntwo\n<end>\n<end>\nthree <end>\n\n");
  EXPECT_THAT(texts(splits.train.examples), ElementsAre("one\n\ntwo", "three <end>"));
}

TEST_F(Rows, OfTsvMayHaveNoHeaderAndTabsInTheirLastColumn) {
  options_.columns = {"label", "text"};
  options_.tabs_in_last_column = true;
  const Splits splits = load(Format::kTsv, "x\ta\tb\ny\tc\n");
  EXPECT_THAT(texts(splits.train.examples), ElementsAre("a\tb", "c"));
  EXPECT_EQ(splits.train.examples[0].source, path() + ":1");
}

TEST_F(Rows, MayBeLabelledWithNumbers) {
  options_.label_kind = LabelKind::kNumber;
  options_.label_column = "score";
  const Splits tsv = load(Format::kTsv, "text\tscore\na\t-1.5e1\nb\t3\n");
  EXPECT_EQ(tsv.train.label_kind, LabelKind::kNumber);
  EXPECT_THAT(tsv.train.classes, ElementsAre("score"));
  EXPECT_EQ(tsv.train.examples[0].number, -15);
  const Splits json = load(Format::kJsonl, "{\"text\": \"a\", \"score\": 0.25}\n");
  EXPECT_EQ(json.train.examples[0].number, 0.25);
  EXPECT_THAT([&] { load(Format::kTsv, "text\tscore\na\t1\nb\thigh\n"); },
              ThrowsMessage<Error>(HasSubstr(path() + ":3: label \"high\" is not a number")));
}

TEST_F(Rows, NoteAClassThatASplitLacks) {
  options_.validation = {folder_.write("dev", "text\tlabel\nc\ty\n")};
  options_.labels = {"x", "y", "z"};
  const Splits splits = load(Format::kTsv, "text\tlabel\na\tx\nb\ty\n");
  EXPECT_THAT(splits.report.notes, Contains("No training example has the label z."));
  EXPECT_THAT(splits.report.notes, Contains("No validation example has the label x or z."));
}

struct BadRow {
  const char* name;
  Format format;
  std::string content;  // one good row, and a bad one in the third line
  std::string fact;
  std::string reason;
};

class BadRowTest : public Rows, public ::testing::WithParamInterface<BadRow> {};

TEST_P(BadRowTest, IsNamedWithFileAndLine) {
  EXPECT_THAT([&] { load(GetParam().format, GetParam().content); },
              ThrowsMessage<Error>(path() + ":3: " + GetParam().fact +
                                   ". Mend it, or leave out what is bad with skip_bad = true."));
}

TEST_P(BadRowTest, IsCountedOnRequest) {
  options_.skip_bad = true;
  const Splits splits = load(GetParam().format, GetParam().content);
  EXPECT_EQ(splits.train.examples.size(), 1u);
  EXPECT_THAT(splits.report.dropped, ElementsAre(Pair(GetParam().reason, 1)));
}

const std::string kJson = "{\"text\": \"a\", \"label\": \"x\"}\n\n";

INSTANTIATE_TEST_SUITE_P(
    All, BadRowTest,
    ::testing::Values(
        BadRow{"TooFewColumns", Format::kTsv, "text\tlabel\na\tx\nb\n",
               "1 columns; the header has 2", "wrong column count"},
        BadRow{"TooManyColumns", Format::kTsv, "text\tlabel\na\tx\nb\tx\t\n",
               "3 columns; the header has 2", "wrong column count"},
        BadRow{"EmptyText", Format::kTsv, "text\tlabel\na\tx\n \tx\n", "\"text\" is empty",
               "empty text"},
        BadRow{"MissingLabel", Format::kTsv, "text\tlabel\na\tx\nb\t\n", "\"label\" is empty",
               "missing label"},
        BadRow{"NotUtf8", Format::kTsv, "text\tlabel\na\tx\nbc\xFF\tx\n",
               "byte 2 of the line, 0xFF, is not UTF-8", "not UTF-8"},
        BadRow{"NotUtf8InADocument", Format::kText, "a\n\nb\xE9\n",
               "byte 1 of the line, 0xE9, is not UTF-8", "not UTF-8"},
        BadRow{"NotJson", Format::kJsonl, kJson + "{\"text\": \"a\"",
               "the line is not a JSON object", "not a JSON object"},
        BadRow{"NoObject", Format::kJsonl, kJson + "[1]", "the line is not a JSON object",
               "not a JSON object"},
        BadRow{"MissingKey", Format::kJsonl, kJson + "{\"txt\": \"a\", \"label\": \"x\"}",
               "no key \"text\"; the keys are txt, label", "missing key"},
        BadRow{"WrongType", Format::kJsonl, kJson + "{\"text\": 1, \"label\": \"x\"}",
               "\"text\" is a number; it must be a string", "wrong type"},
        BadRow{"WrongTypeOfLabel", Format::kJsonl, kJson + "{\"text\": \"a\", \"label\": null}",
               "\"label\" is a null; it must be a string", "wrong type"},
        BadRow{"EmptyTextInJson", Format::kJsonl, kJson + "{\"text\": \"\", \"label\": \"x\"}",
               "\"text\" is empty", "empty text"}),
    [](const auto& test) { return std::string(test.param.name); });

TEST_F(Rows, NameTheLineOfADocumentThatIsNotUtf8) {
  EXPECT_THAT(
      [&] {
        load(Format::kText,
             "one\n\ntwo\nthr\xFF"
             "e\n");
      },
      ThrowsMessage<Error>(HasSubstr(path() + ":4: byte 3 of the line, 0xFF, is not UTF-8")));
}

TEST_F(Rows, NameAMissingColumnAndTheKnownOnes) {
  EXPECT_THAT(
      [&] { load(Format::kTsv, "sentence\tlabel\na\tx\n"); },
      ThrowsMessage<Error>(path() + ":1: the header has no column \"text\". Its columns are "
                                    "sentence, label."));
  EXPECT_THAT([&] { load(Format::kTsv, ""); },
              ThrowsMessage<Error>(HasSubstr("the file is empty")));
}

TEST_F(Rows, NameAFileThatIsNotThere) {
  options_.format = Format::kTsv;
  options_.train = {"/absent/train.tsv"};
  EXPECT_THAT(
      [&] { load_splits(options_); },
      ThrowsMessage<Error>("data: \"/absent/train.tsv\" matches no file. Correct the name."));
}

TEST_F(Rows, OfAnEmptyFileAreAnError) {
  EXPECT_THAT([&] { load(Format::kText, "\n\n"); },
              ThrowsMessage<Error>(HasSubstr("no examples are left to train on")));
}

TEST_F(Rows, OfOtherSplitsAreCheckedAgainstTheClassesOfTrain) {
  options_.validation = {folder_.write("validation", "text\tlabel\na\tx\nb\tz\n")};
  const std::string train = "text\tlabel\na\tx\nc\ty\n";
  EXPECT_THAT([&] { load(Format::kTsv, train); },
              ThrowsMessage<Error>(HasSubstr("validation:3: label \"z\" is not one of x, y.")));
  options_.skip_bad = true;
  const Splits splits = load(Format::kTsv, train);
  EXPECT_EQ(splits.validation.examples.size(), 1u);
  EXPECT_THAT(splits.report.dropped, ElementsAre(Pair("unknown label", 1)));
  EXPECT_THAT(splits.report.notes,
              Contains("1 of 1 validation examples are in the training data too."));
}

TEST_F(Rows, TakeTheOrderOfGivenLabels) {
  options_.labels = {"y", "x", "never"};
  const Splits splits = load(Format::kTsv, "text\tlabel\na\tx\nb\ty\n");
  EXPECT_EQ(splits.train.classes, options_.labels);
  EXPECT_EQ(splits.train.examples[0].label, 1);
  EXPECT_THAT([&] { load(Format::kTsv, "text\tlabel\na\tq\n"); },
              ThrowsMessage<Error>(HasSubstr("train:2: label \"q\" is not one of y, x, never")));
}

TEST_F(Rows, AreSplitWhereNoFileIsGivenWithDuplicatesOnOneSide) {
  std::string content = "text\tlabel\n";
  for (int i = 0; i < 300; ++i) {
    // Texts come twice, the second time with one word more.
    content += unique_text(i) + "\tx\n" + unique_text(i) + "more\ty\n";
  }
  options_.validation_share = 0.2;
  options_.test_share = 0.3;
  options_.validation = {folder_.write("validation", "text\tlabel\nown\tx\n")};
  const Splits splits = load(Format::kTsv, content);
  EXPECT_THAT(texts(splits.validation.examples), ElementsAre("own"));
  EXPECT_EQ(splits.train.examples.size() + splits.test.examples.size(), 600u);
  // 90 of 300 groups expected; 5 standard deviations are 40.
  EXPECT_NEAR(static_cast<double>(splits.test.examples.size()) / 2, 90, 40);
  const std::map<std::string, std::string> side_of = sides(splits);
  for (int i = 0; i < 300; ++i) {
    EXPECT_EQ(side_of.at(unique_text(i)), side_of.at(unique_text(i) + "more"));
  }
}

// 872 sentences, 428 of them negative, as published.
TEST_F(Rows, OfARealDataSetAreAllRead) {
  const char* shared = std::getenv("LOWRANK_SHARED");
  const auto file = std::filesystem::path(shared ? shared : "") / "data/sst2/dev.tsv";
  if (!std::filesystem::exists(file)) GTEST_SKIP() << file << " is not there";
  options_.format = Format::kTsv;
  options_.train = {file.string()};
  options_.text_column = "sentence";
  const Splits splits = load_splits(options_);
  const std::vector<Example>& examples = splits.train.examples;
  EXPECT_EQ(examples.size(), 872u);
  EXPECT_THAT(splits.train.classes, ElementsAre("0", "1"));
  EXPECT_EQ(std::count_if(examples.begin(), examples.end(),
                          [](const Example& example) { return example.label == 0; }),
            428);
}

TEST(EvenlySpread, TakesFromTheWholeDataset) {
  Dataset dataset{.classes = {"a", "b"}, .label_kind = LabelKind::kTag};
  for (int64_t i = 0; i < 10; ++i) dataset.examples.push_back({.label = i});
  const auto labels = [&](int64_t most) {
    std::vector<int64_t> kept;
    for (const Example& example : evenly_spread(dataset, most).examples) {
      kept.push_back(example.label);
    }
    return kept;
  };
  EXPECT_THAT(labels(4), ElementsAre(AllOf(Ge(0), Le(1)), AllOf(Ge(2), Le(4)), AllOf(Ge(5), Le(6)),
                                     AllOf(Ge(7), Le(9))));
  EXPECT_EQ(labels(4), labels(4));
  EXPECT_EQ(labels(0).size(), 10);
  EXPECT_EQ(labels(11).size(), 10);
  EXPECT_EQ(evenly_spread(dataset, 4).classes, dataset.classes);
  EXPECT_EQ(evenly_spread(dataset, 4).label_kind, LabelKind::kTag);
}

TEST(EvenlySpread, SeesEveryClassWhereTheyTakeTurns) {
  constexpr int64_t kClasses = 10;
  Dataset dataset;
  for (int64_t i = 0; i < 10'000; ++i) dataset.examples.push_back({.label = i % kClasses});
  std::map<int64_t, int64_t> counts;
  for (const Example& example : evenly_spread(dataset, 500).examples) ++counts[example.label];
  // 50 each, but for six standard deviations of chance.
  for (int64_t i = 0; i < kClasses; ++i) EXPECT_NEAR(static_cast<double>(counts[i]), 50, 40) << i;
}

class Description : public ::testing::Test {
 protected:
  static DataOptions read(const std::string& toml) {
    DataOptions options;
    read_config(parse_toml(toml, "recipe.toml"), "recipe.toml",
                [&](ConfigFields& fields) { describe(fields, options); });
    return options;
  }

  static void expect_error(const std::string& toml, const std::string& message) {
    EXPECT_THAT([&] { read(toml); }, ThrowsMessage<Error>(HasSubstr(message))) << toml;
  }
};

TEST_F(Description, ReadsClassesAsATableOfGlobs) {
  const DataOptions options =
      read("max_bytes = 100\n[classes]\nb = [\"x/*\", \"!y\"]\na = \"z\"\n");
  EXPECT_EQ(options.max_bytes, 100);
  EXPECT_THAT(options.classes, UnorderedElementsAre(Pair("b", ElementsAre("x/*", "!y")),
                                                    Pair("a", ElementsAre("z"))));
}

TEST_F(Description, ReadsBackWhatItWrote) {
  DataOptions options = read("[classes]\na = [\"z\"]\nb = [\"y\"]\n");
  options.near_duplicate = 0.25;
  options.on_overflow = "chunk";
  options.min_classes = 3;
  const Json written = write_config([&](ConfigFields& fields) { describe(fields, options); });
  DataOptions again;
  read_config(written, "w", [&](ConfigFields& fields) { describe(fields, again); });
  EXPECT_EQ(write_config([&](ConfigFields& fields) { describe(fields, again); }), written);
  EXPECT_EQ(again.classes, options.classes);
}

TEST_F(Description, AsksForSourcesOnceTheyAreNeeded) {
  DataOptions options;
  EXPECT_THAT([&] { require_sources(options, "recipe.toml: data"); },
              ThrowsMessage<Error>("recipe.toml: data: format = \"files\" needs classes. "
                                   "Add a table \"classes\"."));
  options.format = Format::kTsv;
  EXPECT_THAT([&] { load_splits(options); },
              ThrowsMessage<Error>("data: this format needs train. Name its files."));
}

TEST_F(Description, ChecksFieldsAgainstEachOther) {
  const std::string classes = "\n[classes]\na = \"x\"\n";
  expect_error("train = \"x\"" + classes,
               "train, validation and test are not for format = \"files\"");
  expect_error("format = \"tsv\"\ntrain = \"x\"" + classes, "classes are for format = \"files\".");
  expect_error("format = \"text\"\ntrain = \"x\"\npair_column = \"y\"", "pair_column is not for");
  expect_error("format = \"tsv\"\ntrain = \"x\"\ndocument_separator = \"y\"",
               "document_separator is for format = \"text\".");
  expect_error("min_bytes = 10\nmax_bytes = 5" + classes, "min_bytes = 10; it must be at most");
  expect_error("min_per_class = 10\nmax_per_class = 5" + classes, "min_per_class = 10; it must be");
  expect_error("validation_share = 0.6\ntest_share = 0.5" + classes,
               "must leave a share for training");
  expect_error("labels = [\"x\", \"x\"]" + classes, "labels has an entry twice");
  expect_error("format = \"glue\"\ntask = \"sst2\"\ntrain = \"x\"",
               "train, validation and test are not for format = \"glue\"");
  expect_error("format = \"glue\"\nfolder = \"x\"", "format = \"glue\" knows sst2, cola");
  expect_error("format = \"tsv\"\ntrain = \"x\"\nfolder = \"y\"", "folder is for format = ");
  expect_error("format = \"text\"\ntrain = \"x\"\nlabel_kind = \"number\"", "label_kind is for");
  expect_error("format = \"conll\"\ntrain = \"x\"\non_overflow = \"chunk\"", "from their labels");
  expect_error("on_overflow = \"cut\"" + classes, "on_overflow");
  expect_error("[classes]\na = 1\n", "a = 1; it must be a list of strings");
  expect_error("[classes]\na = []\n", "classes.a: the list is empty.");
  expect_error("classes = 1\n", "classes");
}

}  // namespace
}  // namespace lowrank::data
