// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/answer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "tests/support/plain_model.h"

namespace lowrank::serve {
namespace {

using lowrank::testing::plain_model;
using lowrank::testing::small_text_config;
using lowrank::testing::small_text_model;
using models::Task;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;
using text::Span;

// Answers begin with "<" and end with ">".
TextModel bracket_reader() {
  return plain_model(Task::kQuestionAnswering, {}, [](int64_t id) -> int64_t {
    if (id == '<') return 0;
    return id == '>' ? 1 : 2;
  });
}

TEST(Answer, IsTheLikeliestSpanOfTheContext) {
  const TextModel model = bracket_reader();
  const Reading reading = read_question(model, "what <is> it?", {.text = "\xC3\xA9 > <yes> no"});
  const Answer best = answer(model, {reading}).at(0).at(0);
  EXPECT_EQ(best.text, "<yes>");
  EXPECT_EQ(best.bytes, (Span{5, 10}));
  EXPECT_EQ(best.characters, (Span{4, 9}));
}

// Every span, one by one.
TEST(Answer, ScoresSpansByTheirFirstAndLastToken) {
  const TextModel model = small_text_model(small_text_config(Task::kQuestionAnswering));
  const std::string context = "abcdefgh";
  const AnswerOptions options{.top = 100, .longest = 3};
  const auto answers =
      answer(model, {read_question(model, "qr", {.text = context})}, options).at(0);
  const at::NoGradGuard no_grad;
  const models::Inputs inputs{
      at::tensor({256, 'q', 'r', 257, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 257}, at::kLong),
      at::tensor({0, 13}, at::kLong),
      {}};
  const at::Tensor expected =
      model.model->logits(inputs).slice(0, 4, 12).to(at::kDouble).softmax(0);
  ASSERT_EQ(answers.size(), 8u + 7u + 6u);  // of one, two and three tokens
  double before = 1;
  for (const Answer& found : answers) {
    const double score = expected[found.bytes.begin][0].item<double>() *
                         expected[found.bytes.end - 1][1].item<double>();
    EXPECT_NEAR(found.score, score, 1e-7);
    EXPECT_LE(found.score, before);
    EXPECT_LE(found.text.size(), 3u);
    before = found.score;
  }
}

TEST(Answer, IsFoundInAnyWindowOfALongContextAndOnce) {
  const TextModel model = bracket_reader();
  const std::string context = std::string(40, '.') + "<yes>" + std::string(30, '.');
  const PieceOptions options{.on_overflow = Overflow::kChunk, .max_length = 24, .stride = 8};
  const Reading reading = read_question(model, "who?", {.text = context}, options);
  ASSERT_GT(reading.pieces.pieces.size(), 4u);
  const auto answers = answer(model, {reading}, {.top = 4}).at(0);
  ASSERT_EQ(answers.size(), 4u);
  EXPECT_EQ(answers[0].bytes, (Span{40, 45}));
  for (size_t i = 1; i < answers.size(); ++i) EXPECT_NE(answers[i].bytes, answers[0].bytes);
}

// The token in front is the byte tokenizer's 256.
TextModel reader_with(int64_t output_of_front) {
  return plain_model(Task::kQuestionAnswering, {}, [=](int64_t id) -> int64_t {
    if (id == '<') return 0;
    if (id == '>') return 1;
    return id == 256 ? output_of_front : 2;
  });
}

TEST(Answer, MayBeThatThereIsNone) {
  const TextModel model = small_text_model(small_text_config(Task::kQuestionAnswering));
  const Reading reading = read_question(model, "qr", {.text = "abcdefgh"});
  const at::NoGradGuard no_grad;
  const models::Inputs inputs{
      at::tensor({256, 'q', 'r', 257, 'a', 'b', 'c', 'd', 'e', 'f', 'g', 'h', 257}, at::kLong),
      at::tensor({0, 13}, at::kLong),
      {}};
  const at::Tensor logits = model.model->logits(inputs).to(at::kDouble);
  const at::Tensor seen = at::cat({logits.slice(0, 0, 1), logits.slice(0, 4, 12)});
  const at::Tensor shares = seen.softmax(0);
  double best = -INFINITY;  // of the logits' sums
  for (int64_t first = 1; first < 9; ++first) {
    for (int64_t last = first; last < 9; ++last) {
      best = std::max(best, (seen[first][0] + seen[last][1]).item<double>());
    }
  }
  const double difference = (seen[0][0] + seen[0][1]).item<double>() - best;
  for (const double margin : {-1e-6, 1e-6}) {
    const AnswerOptions options{.top = 100, .no_answer_threshold = difference + margin};
    const std::vector<Answer> answers = answer(model, {reading}, options).at(0);
    ASSERT_EQ(answers.size(), 1 + 36u);
    EXPECT_EQ(answers[0].is_none, margin < 0);
    const auto none = std::find_if(answers.begin(), answers.end(),
                                   [](const Answer& found) { return found.is_none; });
    ASSERT_NE(none, answers.end());
    EXPECT_NEAR(none->score, (shares[0][0] * shares[0][1]).item<double>(), 1e-7);
    EXPECT_EQ(none->text, "");
    EXPECT_EQ(none->bytes, (Span{0, 0}));
    const Answer& span = answers[margin < 0 ? 1 : 0];
    const double expected =
        (shares[span.bytes.begin + 1][0] * shares[span.bytes.end][1]).item<double>();
    EXPECT_NEAR(span.score, expected, 1e-7);
  }
  const std::vector<Answer> one =
      answer(model, {reading}, {.top = 1, .no_answer_threshold = difference - 1}).at(0);
  ASSERT_EQ(one.size(), 1u);
  EXPECT_TRUE(one[0].is_none);
  const std::vector<Answer> without = answer(model, {reading}).at(0);
  EXPECT_FALSE(without.empty());
  for (const Answer& found : without) EXPECT_FALSE(found.is_none);
}

// One window with an answer is enough, however many are without.
TEST(Answer, IsNoneOnlyWhereNoWindowHasOne) {
  const TextModel model = reader_with(0);
  const PieceOptions options{.on_overflow = Overflow::kChunk, .max_length = 24, .stride = 8};
  const auto best = [&](const std::string& context) {
    const Reading reading = read_question(model, "who?", {.text = context}, options);
    EXPECT_GT(reading.pieces.pieces.size(), 2u);
    return answer(model, {reading}, {.top = 1, .no_answer_threshold = 0.1}).at(0).at(0);
  };
  EXPECT_EQ(best(std::string(20, '.') + "<yes>" + std::string(20, '.')).text, "<yes>");
  EXPECT_TRUE(best(std::string(60, '.')).is_none);
}

TEST(Answer, IsNoneByATokenInFront) {
  const TextModel model = bracket_reader();
  const Reading reading =
      read_question(model, "q", {.text = "<x>", .source = "x:1"}, {.special_tokens = false});
  EXPECT_THAT([&] { answer(model, {reading}, {.no_answer_threshold = 0}); },
              ThrowsMessage<Error>(HasSubstr("x:1: the sequence has no special token in front")));
}

TEST(Answer, HasAsManyTokensAsAllowed) {
  const TextModel model = bracket_reader();
  const Reading reading = read_question(model, "q", {.text = "<abcdef> <x>"});
  EXPECT_EQ(answer(model, {reading}, {.top = 1, .longest = 4}).at(0).at(0).text, "<x>");
}

TEST(Answer, LetsTheContextAloneGiveWay) {
  const TextModel model = bracket_reader();
  const PieceOptions cut{.on_overflow = Overflow::kTruncate, .max_length = 12};
  const Reading reading = read_question(model, "123456", {.text = "abcdef"}, cut);
  EXPECT_TRUE(reading.pieces.truncated);
  EXPECT_EQ(reading.pieces.tokens(), 12);
  const auto best = answer(model, {reading}, {.top = 100}).at(0);
  for (const Answer& found : best) EXPECT_LE(found.bytes.end, 3);
  EXPECT_THAT(
      [&] { read_question(model, "1234567890", {.text = "abc"}, cut); },
      ThrowsMessage<Error>(HasSubstr("the question has 10 tokens, and a sequence at most 12")));
  EXPECT_THAT(
      [&] {
        read_question(model, "123456", {.text = "abcdef", .source = "x:2"}, {.max_length = 12});
      },
      ThrowsMessage<Error>(HasSubstr("x:2: 15 tokens; a sequence has at most 12")));
  EXPECT_THAT([&] { read_question(model, "q", {.text = "", .source = "x:3"}); },
              ThrowsMessage<Error>(HasSubstr("x:3: the context is empty")));
}

}  // namespace
}  // namespace lowrank::serve
