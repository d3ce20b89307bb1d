// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/fill.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>

#include "tests/support/plain_model.h"

namespace lowrank::serve {
namespace {

using lowrank::testing::give_tokenizer;
using lowrank::testing::small_text_config;
using lowrank::testing::small_text_model;
using lowrank::testing::small_word_piece;
using lowrank::testing::TemporaryFolder;
using models::Task;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TextModel language_model() {
  return small_text_model(small_text_config(Task::kMaskedLanguageModel));
}

// Of WordPiece's 12 tokens; the model has 20 and likes `favorite`.
TextModel model_that_likes(int64_t favorite, const TemporaryFolder& folder) {
  TextModel model =
      small_text_model(lowrank::testing::small_config(ExactOptions{}, Task::kMaskedLanguageModel));
  give_tokenizer(model, small_word_piece(), folder);
  const at::NoGradGuard no_grad;
  model.model->named_parameters()["output_bias"][favorite] = 20;
  return model;
}

Blank only_blank(const TextModel& model, const std::string& text, int64_t top = 1) {
  const auto filled = fill(model, {read_blanks(model, {.text = text})}, top);
  EXPECT_EQ(filled.at(0).size(), 1u);
  return filled.at(0).at(0);
}

TEST(Fill, GivesTheModelsProbabilitiesAtEachBlank) {
  const TextModel model = language_model();
  const std::string text = "ab[MASK]d [MASK]";
  const auto filled = fill(model, {read_blanks(model, {.text = text})}, 259);
  const models::Inputs inputs{at::tensor({256, 97, 98, 258, 100, 32, 258, 257}, at::kLong),
                              at::tensor({0, 8}, at::kLong),
                              {}};
  const at::NoGradGuard no_grad;
  const at::Tensor expected = model.model->logits(inputs).to(at::kDouble).softmax(1);
  ASSERT_EQ(filled.at(0).size(), 2u);
  for (const size_t i : {0, 1}) {
    const Blank& blank = filled[0][i];
    ASSERT_EQ(blank.guesses.size(), 259u);
    double before = 1, sum = 0;
    for (const Guess& guess : blank.guesses) {
      EXPECT_NEAR(guess.probability, expected[i == 0 ? 3 : 6][guess.id].item<double>(), 1e-6);
      EXPECT_LE(guess.probability, before);
      before = guess.probability;
      sum += guess.probability;
    }
    EXPECT_NEAR(sum, 1, 1e-9);
  }
  EXPECT_EQ(filled[0][0].bytes, (text::Span{2, 8}));
  EXPECT_EQ(filled[0][1].bytes, (text::Span{10, 16}));
}

TEST(Fill, PutsEachWordIntoItsBlankAndLeavesTheOthers) {
  const TextModel model = language_model();
  const auto filled = fill(model, {read_blanks(model, {.text = "a [MASK]c[MASK]"})}, 259);
  for (const Guess& guess : filled.at(0).at(0).guesses) {
    if (guess.id == 'b') {
      EXPECT_EQ(guess.word, "b");
      EXPECT_EQ(guess.text, "a bc[MASK]");
    }
    if (guess.id == ' ') {
      EXPECT_EQ(guess.text, "a  c[MASK]");
    }
  }
}

TEST(Fill, WritesWordsAndPiecesOfWordsAsTheyStandInText) {
  const TemporaryFolder folder;
  const TextModel cafe = model_that_likes(10, folder), able = model_that_likes(5, folder);
  const Guess word = only_blank(cafe, "un\n[MASK], a").guesses.at(0);
  EXPECT_EQ(word.token, "cafe");
  EXPECT_EQ(word.word, "cafe");
  EXPECT_EQ(word.text, "un\ncafe, a");
  const Guess piece = only_blank(able, "un  [MASK], a").guesses.at(0);
  EXPECT_EQ(piece.token, "##able");
  EXPECT_EQ(piece.word, "able");
  EXPECT_EQ(piece.text, "unable, a");
  EXPECT_EQ(only_blank(cafe, "[MASK] a").guesses.at(0).text, "cafe a");
}

TEST(Fill, GuessesNoIdThatTheTokenizerDoesNotKnow) {
  const TemporaryFolder folder;
  const TextModel model = model_that_likes(17, folder);
  const Blank blank = only_blank(model, "a [MASK]", 100);
  EXPECT_EQ(blank.guesses.size(), 12u);
  EXPECT_LT(blank.guesses[0].probability, 1e-3);  // 17 has the rest
}

TEST(Fill, GuessesTheSameAloneAndTogether) {
  const TextModel model = language_model();
  std::vector<Reading> readings;
  for (const char* text : {"longer than the other [MASK]", "[MASK]"}) {
    readings.push_back(read_blanks(model, {.text = text}));
  }
  const auto together = fill(model, readings, 3);
  for (size_t i = 0; i < readings.size(); ++i) {
    const auto alone = fill(model, {readings[i]}, 3);
    EXPECT_EQ(together[i][0].guesses[0].id, alone[0][0].guesses[0].id);
    EXPECT_NEAR(together[i][0].guesses[0].probability, alone[0][0].guesses[0].probability, 1e-6);
  }
}

TEST(Fill, CountsABlankAsOneToken) {
  const TextModel model = language_model();  // 33 positions, two of them for CLS and SEP
  const std::string text = std::string(30, 'a') + "[MASK]";
  EXPECT_EQ(read_blanks(model, {.text = text}).pieces.tokens(), 33);
  EXPECT_THAT([&] { read_blanks(model, {.text = text + "b", .source = "stdin:7"}); },
              ThrowsMessage<Error>(HasSubstr("stdin:7: 34 tokens; a sequence has at most 33")));
  const Reading cut = read_blanks(model, {.text = std::string(40, 'a') + "[MASK]"},
                                  {.on_overflow = Overflow::kTruncate});
  EXPECT_TRUE(cut.pieces.truncated);
  EXPECT_TRUE(fill(model, {cut}).at(0).empty());
}

TEST(Fill, SaysWhatItNeeds) {
  const TextModel model = language_model();
  EXPECT_THAT([&] { read_blanks(model, {.text = "nothing <mask>", .source = "a.txt:3"}); },
              ThrowsMessage<Error>(HasSubstr("a.txt:3: there is no [MASK] in it")));
  EXPECT_THAT([&] { read_blanks(model, {.text = "[MASK]"}, {.on_overflow = Overflow::kChunk}); },
              ThrowsMessage<Error>(HasSubstr("on_overflow = chunk")));
  const TemporaryFolder folder;
  TextModel gpt = language_model();
  give_tokenizer(gpt, lowrank::testing::small_byte_pair(), folder);
  EXPECT_THAT([&] { read_blanks(gpt, {.text = "[MASK]"}); },
              ThrowsMessage<Error>(HasSubstr("no mask token")));
  TextModel encoder = small_text_model();
  encoder.folder = "models/e5";
  EXPECT_THAT(
      [&] { fill(encoder, {}); },
      ThrowsMessage<Error>("models/e5 is an encoder; a masked language model is needed here. "
                           "Use \"lowrank embed\" with it."));
}

}  // namespace
}  // namespace lowrank::serve
