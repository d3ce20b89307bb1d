// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/embed_command.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/config.h"
#include "lowrank/base/file.h"
#include "lowrank/io/npy.h"
#include "lowrank/models/model_directory.h"
#include "lowrank/serve/embed.h"
#include "tests/cli/signal_on.h"
#include "tests/cli/tiny_task.h"
#include "tests/support/small_text_model.h"

namespace lowrank::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::MatchesRegex;

class EmbedCommand : public ::testing::Test {
 protected:
  EmbedCommand() {
    at::manual_seed(1);
    models::save_model(models::Model(small_text_config()), path("model"));
  }

  std::string path(const std::string& name) const {
    const auto full = folder_.path() / name;
    std::filesystem::create_directories(name == "model" ? full : full.parent_path());
    return full.string();
  }
  std::string write(const std::string& name, const std::string& text) const {
    return folder_.write(name, text);
  }

  Ran embed(std::vector<std::string> arguments, const std::string& input = "") const {
    arguments.insert(arguments.begin(), {"embed", path("model")});
    return lowrank(arguments, input);
  }

  // What the library makes of the texts.
  at::Tensor expected(const std::vector<std::string>& texts) const {
    return serve::Embedder(serve::load_text_model(path("model"))).embed(texts);
  }

 private:
  TemporaryFolder folder_;
};

struct Read {
  std::vector<std::string> sources;
  at::Tensor vectors;
};

Read read_jsonl(const std::string& out) {
  Read read;
  std::vector<at::Tensor> rows;
  std::istringstream lines(out);
  for (std::string line; std::getline(lines, line);) {
    const Json object = parse_json(line, "embed");
    read.sources.push_back(object["source"]);
    rows.push_back(at::tensor(object["vector"].get<std::vector<float>>()));
  }
  read.vectors = rows.empty() ? at::empty({0, 12}) : at::stack(rows);
  return read;
}

TEST_F(EmbedCommand, PrintsAVectorForEachLineAndTheSumAtTheEnd) {
  const Ran ran = embed({"--lines"}, "first\nsecond line\n");
  EXPECT_EQ(ran.status, 0) << ran.err;
  const Read read = read_jsonl(ran.out);
  EXPECT_EQ(read.sources, (std::vector<std::string>{"stdin:1", "stdin:2"}));
  EXPECT_TRUE(at::equal(read.vectors, expected({"first", "second line"})));
  EXPECT_THAT(ran.err, MatchesRegex("lowrank embed: 2 texts, 20 tokens, [0-9,]+ tokens/s, peak "
                                    "memory [0-9,]+ MiB\n"));
}

TEST_F(EmbedCommand, EmbedsTheFilesOfAFolderInOrder) {
  write("texts/b.txt", "bee");
  write("texts/a.txt", "ay");
  const Read read = read_jsonl(embed({path("texts")}).out);
  EXPECT_EQ(read.sources, (std::vector<std::string>{path("texts/a.txt"), path("texts/b.txt")}));
  EXPECT_TRUE(at::equal(read.vectors, expected({"ay", "bee"})));
}

TEST_F(EmbedCommand, WritesAnArrayThatReadsBack) {
  const Ran ran = embed({"--lines", "--format", "npy", "--output", path("v.npy")}, "one\ntwo\n");
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, IsEmpty());
  EXPECT_TRUE(at::equal(io::load_npy(path("v.npy")), expected({"one", "two"})));
}

TEST_F(EmbedCommand, WritesCommaSeparatedValuesThatReadBack) {
  write("a, b.txt", "one");
  const Ran ran = embed({path("a, b.txt"), "--format", "csv"});
  std::istringstream lines(ran.out);
  std::string heading, row;
  std::getline(lines, heading);
  std::getline(lines, row);
  EXPECT_EQ(heading, "source,0,1,2,3,4,5,6,7,8,9,10,11");
  const std::string source = "\"" + path("a, b.txt") + "\",";
  ASSERT_EQ(row.substr(0, source.size()), source);
  std::vector<float> numbers;
  std::istringstream cells(row.substr(source.size()));
  for (std::string cell; std::getline(cells, cell, ',');) numbers.push_back(std::stof(cell));
  EXPECT_TRUE(at::equal(at::tensor(numbers), expected({"one"})[0]));
}

TEST_F(EmbedCommand, ReadsJsonLinesUnderTheKeyNamed) {
  const Ran ran =
      embed({"--jsonl", "--text-key", "body"}, "{\"body\": \"one\"}\n{\"text\": \"two\"}\n");
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("stdin:2: \"body\" is missing"));
  EXPECT_TRUE(at::equal(read_jsonl(ran.out).vectors, expected({"one"})));
}

TEST_F(EmbedCommand, NamesWhatItCannotReadAndEmbedsTheOthers) {
  write("a.txt", "one");
  write("empty.txt", "");
  const Ran ran = embed({path("absent.txt"), path("empty.txt"), path("a.txt")});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr(path("absent.txt")));
  EXPECT_THAT(ran.err, HasSubstr(path("empty.txt") + " is empty"));
  EXPECT_EQ(read_jsonl(ran.out).sources, (std::vector<std::string>{path("a.txt")}));
}

TEST_F(EmbedCommand, SaysOnceWhatBecameOfLongTexts) {
  const std::string lines = std::string(100, 'x') + "\nshort\n" + std::string(40, 'y') + "\n";
  const Ran chunks = embed({"--lines"}, lines);
  EXPECT_EQ(chunks.status, 0);
  EXPECT_THAT(chunks.err, HasSubstr("2 texts had more than 33 tokens; the vector is the mean"));
  EXPECT_THAT(embed({"--lines", "--on-overflow", "truncate"}, lines).err,
              HasSubstr("only the first 33 tokens of 2 texts were read"));
  EXPECT_THAT(embed({"--lines", "--on-overflow", "interpolate"}, lines).err,
              HasSubstr("2 texts had more than 33 tokens, which the model was made for"));
  const Ran refused = embed({"--lines", "--on-overflow", "error"}, lines);
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("stdin:1: 102 tokens; a sequence has at most 33."));
  EXPECT_EQ(read_jsonl(refused.out).sources, (std::vector<std::string>{"stdin:2"}));
}

TEST_F(EmbedCommand, ReadsALineOfAHundredThousandTokens) {
  std::string line;
  for (int i = 0; i < 100'000; ++i) line += static_cast<char>('a' + i % 1000 * (i % 1000) % 26);
  const Ran ran = embed({"--lines"}, line + "\nb\n");
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_TRUE(at::allclose(read_jsonl(ran.out).vectors, expected({line, "b"}), 0, 1e-6));
}

TEST_F(EmbedCommand, PrintsNothingOfNoLines) {
  const Ran ran = embed({"--lines"}, "");
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, IsEmpty());
  EXPECT_EQ(embed({"--lines", "--format", "npy", "--output", path("v.npy")}, "").status, 0);
  EXPECT_EQ(io::load_npy(path("v.npy")).sizes(), (std::vector<int64_t>{0, 12}));
}

TEST_F(EmbedCommand, NeedsAFileForAnArray) {
  const Ran ran = embed({"--format", "npy"}, "text");
  EXPECT_EQ(ran.status, 2);
  EXPECT_THAT(ran.err, HasSubstr("Name it with --output"));
}

TEST_F(EmbedCommand, RefusesALengthThatTheModelDoesNotTakeAndLeavesTheOldFile) {
  write("v.jsonl", "old");
  const Ran ran = embed({"--lines", "--output", path("v.jsonl"), "--max-length", "34"}, "text\n");
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("--max-length = 34; the model takes at most 33"));
  EXPECT_EQ(read_file(path("v.jsonl")), "old");
}

TEST_F(EmbedCommand, LeavesTheOldFileWhereItIsInterrupted) {
  write("v.jsonl", "old");
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += "some line\n";
  SignalOn buffer(" tokens/s", SIGINT);  // drawn after the first batch
  std::istringstream in(lines);
  std::ostringstream out;
  std::ostream err(&buffer);
  const int status = cli::run_program(
      {"embed", path("model"), "--lines", "--token-budget", "100", "--output", path("v.jsonl")},
      {in, out, err, true});
  EXPECT_EQ(status, 130);
  EXPECT_THAT(buffer.str(), HasSubstr("lowrank embed: interrupted after 0 texts; " +
                                      path("v.jsonl") + " is as it was"));
  EXPECT_EQ(read_file(path("v.jsonl")), "old");
}

}  // namespace
}  // namespace lowrank::testing
