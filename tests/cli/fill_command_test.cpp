// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/fill_command.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/models/model_directory.h"
#include "lowrank/serve/fill.h"
#include "tests/cli/signal_on.h"
#include "tests/cli/tiny_task.h"
#include "tests/support/bert_folder.h"
#include "tests/support/small_text_model.h"

namespace lowrank::testing {
namespace {

using models::Task;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

std::vector<Json> objects(const Ran& ran) {
  std::vector<Json> all;
  std::istringstream lines(ran.out);
  for (std::string line; std::getline(lines, line);) all.push_back(parse_json(line, "fill"));
  return all;
}

TEST(FillCommand, GuessesTheBlanksOfItsArguments) {
  const BertFolder folder(Task::kMaskedLanguageModel);
  const Ran ran =
      lowrank({"fill", folder.path(), "un [MASK] a", "[MASK] [MASK]", "--json", "--top", "2"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const std::vector<Json> all = objects(ran);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0]["source"], "text 1");
  EXPECT_EQ(all[1]["blanks"].size(), 2u);

  const auto model = models::load_model(folder.path());
  const at::NoGradGuard no_grad;
  const models::Inputs inputs{at::tensor({2, 4, 11, 6, 3}, at::kLong),
                              at::tensor({0, 5}, at::kLong), at::zeros({5}, at::kLong)};
  const at::Tensor expected = model->logits(inputs).to(at::kDouble).softmax(1)[2];
  const Json guesses = all[0]["blanks"][0]["guesses"];
  ASSERT_EQ(guesses.size(), 2u);
  for (const Json& guess : guesses) {
    EXPECT_NEAR(guess["probability"].get<double>(),
                expected[guess["id"].get<int64_t>()].item<double>(), 1e-6);
  }
  EXPECT_GE(guesses[0]["probability"].get<double>(), guesses[1]["probability"].get<double>());
}

TEST(FillCommand, ReadsLinesAndNamesThoseThatItCannotRead) {
  const BertFolder folder(Task::kMaskedLanguageModel);
  std::string longer = "[MASK]";
  for (int i = 0; i < 30; ++i) longer += " a";
  const Ran ran = lowrank({"fill", folder.path(), "--top", "1"},
                          "a [MASK]\na <mask>\n" + longer + "\n[MASK] b\n");
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("lowrank fill: stdin:2: there is no [MASK] in it"),
                             HasSubstr("stdin:3: 33 tokens; a sequence has at most 24")));
  EXPECT_THAT(ran.out, AllOf(StartsWith("stdin:1  blank 1  "), HasSubstr("\nstdin:4  blank 1  ")));
  EXPECT_EQ(lowrank({"fill", folder.path(), longer, "--on-overflow", "truncate"}).status, 0);
  EXPECT_EQ(lowrank({"fill", folder.path(), longer, "--on-overflow", "interpolate"}).status, 0);
}

TEST(FillCommand, StopsAtASignalAfterWhatItHasFilled) {
  const BertFolder folder(Task::kMaskedLanguageModel);
  std::string lines;
  for (int i = 0; i < 1000; ++i) lines += "a [MASK]\n";
  SignalOn buffer(" tokens/s", SIGTERM);  // drawn after the first batch
  std::istringstream in(lines);
  std::ostringstream out;
  std::ostream err(&buffer);
  const int status = cli::run_program({"fill", folder.path(), "--json", "--token-budget", "16"},
                                      {in, out, err, true});
  EXPECT_EQ(status, 130);
  EXPECT_THAT(buffer.str(), HasSubstr("lowrank fill: interrupted after 0 texts.\n"));
  EXPECT_EQ(out.str(), "");
}

// What --on-overflow offers here leaves chunks out, by the flag's name.
TEST(FillCommand, OffersOnlyTheWaysOutThatItHas) {
  const BertFolder folder(Task::kMaskedLanguageModel);
  std::string longer = "[MASK]";
  for (int i = 0; i < 30; ++i) longer += " a";
  EXPECT_THAT(lowrank({"fill", folder.path(), longer}).err,
              HasSubstr("at most 24. Use --on-overflow truncate or interpolate.\n"));
}

// A model trained here on bytes reads them without special tokens, as its recipe says.
TEST(FillCommand, FindsTheMaskOfBytes) {
  const TemporaryFolder folder;
  const serve::TextModel made = small_text_model(small_text_config(Task::kMaskedLanguageModel));
  models::save_model(*made.model, folder.path());
  const Ran ran = lowrank({"fill", folder.path().string(), "a[MASK]c", "--json", "--top", "1"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const serve::PieceOptions options{.special_tokens = false};
  const serve::Guess expected =
      serve::fill(made, {serve::read_blanks(made, {.text = "a[MASK]c"}, options)}, 1)[0][0]
          .guesses[0];
  const Json found = objects(ran).at(0)["blanks"][0]["guesses"][0];
  EXPECT_EQ(found["id"], expected.id);
  EXPECT_NEAR(found["probability"].get<double>(), expected.probability, 1e-9);
}

TEST(FillCommand, SaysWhatItNeeds) {
  const BertFolder encoder(Task::kEncoder), classifier(Task::kClassification);
  EXPECT_EQ(lowrank({"fill", encoder.path(), "[MASK]"}).err,
            "lowrank fill: " + encoder.path() +
                " is an encoder; a masked language model is needed here. Use \"lowrank embed\" "
                "with it.\n");
  EXPECT_THAT(lowrank({"fill", classifier.path(), "[MASK]"}).err,
              HasSubstr("Use \"lowrank predict\" with it"));
  const Ran misused = lowrank({"fill", encoder.path(), "[MASK]", "--on-overflow", "chunk"});
  EXPECT_EQ(misused.status, 2);
  EXPECT_THAT(misused.err, HasSubstr("a blank is guessed from all of its text"));
}

}  // namespace
}  // namespace lowrank::testing
