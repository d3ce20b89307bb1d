// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/token_labels.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/plain_model.h"

namespace lowrank::serve {
namespace {

using lowrank::testing::give_tokenizer;
using lowrank::testing::plain_model;
using lowrank::testing::small_word_piece;
using lowrank::testing::TemporaryFolder;
using models::Task;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::ThrowsMessage;

// Of bytes: capitals begin a name, digits a number, small letters go on with a name.
TextModel byte_tagger() {
  return plain_model(Task::kTokenClassification, {"O", "B-NAME", "I-NAME", "B-NUMBER", "X"},
                     [](int64_t id) -> int64_t {
                       if (id >= 'A' && id <= 'Z') return 1;
                       if (id >= 'a' && id <= 'z') return 2;
                       if (id >= '0' && id <= '9') return 3;
                       return id == '#' ? 4 : 0;
                     });
}

std::vector<LabeledSpan> labels_of(const TextModel& model, const std::string& text,
                                   Aggregate aggregate = Aggregate::kFirst,
                                   const PieceOptions& options = {}) {
  return label_tokens(model, {read(model, {.text = text}, options)}, aggregate).at(0);
}

std::vector<std::string> in_words(const std::vector<LabeledSpan>& spans) {
  std::vector<std::string> words;
  for (const LabeledSpan& span : spans) {
    words.push_back(fmt::format("{} {}-{} {}-{} {}", span.label, span.bytes.begin, span.bytes.end,
                                span.characters.begin, span.characters.end, span.text));
  }
  return words;
}

TEST(TokenLabels, MergeWordsThatGoOnWithANameAndLeaveOthersOut) {
  EXPECT_THAT(in_words(labels_of(byte_tagger(), "\xC3\xA9 Ann bee, Cy 42 # #")),
              ElementsAre("NAME 3-10 2-9 Ann bee", "NAME 12-14 11-13 Cy", "NUMBER 15-17 14-16 42",
                          "X 18-19 17-18 #", "X 20-21 19-20 #"));
}

TEST(TokenLabels, BeginANameWithAWordThatHasNoneToGoOnWith) {
  EXPECT_THAT(in_words(labels_of(byte_tagger(), "bee 4 cee")),
              ElementsAre("NAME 0-3 0-3 bee", "NUMBER 4-5 4-5 4", "NAME 6-9 6-9 cee"));
  EXPECT_THAT(labels_of(byte_tagger(), " , "), IsEmpty());
}

TEST(TokenLabels, OfEachPieceWhereNothingIsAggregated) {
  EXPECT_THAT(in_words(labels_of(byte_tagger(), "\xC3\xA9 A", Aggregate::kNone)),
              ElementsAre("O 0-1 0-1 \xC3", "O 1-2 0-1 \xA9", "O 2-3 1-2  ", "B-NAME 3-4 2-3 A"));
}

TEST(TokenLabels, HaveTheModelsProbabilities) {
  const TextModel model = byte_tagger();
  const at::NoGradGuard no_grad;
  const models::Inputs inputs{
      at::tensor({256, 'A', 257}, at::kLong), at::tensor({0, 3}, at::kLong), {}};
  const at::Tensor logits = model.model->logits(inputs).to(at::kDouble);
  EXPECT_NEAR(labels_of(model, "A").at(0).probability, logits[1].softmax(0)[1].item<double>(),
              1e-6);
}

TEST(TokenLabels, OfAWordAreThoseOfItsFirstPiece) {
  const TemporaryFolder folder;
  TextModel model =
      plain_model(Task::kTokenClassification, {"O", "UN", "ABLE"}, [](int64_t id) -> int64_t {
        return id == 4 ? 1 : id == 5 ? 2 : 0;
      });
  give_tokenizer(model, small_word_piece(), folder);
  EXPECT_THAT(in_words(labels_of(model, "a unable,un")),
              ElementsAre("UN 2-8 2-8 unable", "UN 9-11 9-11 un"));
  EXPECT_THAT(in_words(labels_of(model, "unable", Aggregate::kNone)),
              ElementsAre("UN 0-2 0-2 un", "ABLE 2-6 2-6 able"));
}

TEST(TokenLabels, AreTheSameInWindowsThatOverlap) {
  const TextModel model = byte_tagger();
  const std::string text = "Ann bee went with Cy and 42 Dees to # town";
  const std::vector<std::string> whole = in_words(labels_of(model, text));
  for (const int64_t stride : {0, 1, 4, 7}) {
    const PieceOptions options{.on_overflow = Overflow::kChunk, .max_length = 10, .stride = stride};
    EXPECT_EQ(in_words(labels_of(model, text, Aggregate::kFirst, options)), whole) << stride;
  }
}

TEST(TokenLabels, SayWhatTheyNeed) {
  const TextModel model = byte_tagger();
  EXPECT_THAT(
      [&] { label_tokens(model, {read(model, {.text = "a", .pair = "b", .source = "x:1"})}); },
      ThrowsMessage<Error>(HasSubstr("x:1: it is a pair")));
  EXPECT_THAT([] { aggregate_of("last"); }, ThrowsMessage<Error>(HasSubstr("none or first")));
  EXPECT_EQ(aggregate_of("none"), Aggregate::kNone);
}

}  // namespace
}  // namespace lowrank::serve
