// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/compare.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/small_text_model.h"

namespace lowrank::serve {
namespace {

using lowrank::testing::small_text_config;
using lowrank::testing::small_text_model;
using models::Task;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

TextModel comparer() {
  models::ModelConfig config = small_text_config(Task::kRetrieval);
  config.classes = {"apart", "together"};
  config.head_activation = nn::Activation::kRelu;
  return small_text_model(config);
}

// What the model itself says of two sequences.
at::Tensor probabilities_of(const TextModel& model, const std::vector<int64_t>& first,
                            const std::vector<int64_t>& second) {
  const at::NoGradGuard no_grad;
  std::vector<int64_t> tokens = first;
  tokens.insert(tokens.end(), second.begin(), second.end());
  const at::Tensor offsets =
      at::tensor({int64_t{0}, std::ssize(first), std::ssize(tokens)}, at::kLong);
  return model.model->logits({at::tensor(tokens, at::kLong), offsets, {}}).softmax(1)[0];
}

TEST(Compare, GivesTheProbabilitiesThatTheModelGivesTheTwoSequences) {
  const TextModel model = comparer();
  const auto found = compare(model, {read_two(model, {.text = "abcdef", .pair = "g"}),
                                     read_two(model, {.text = "h", .pair = "ij"})});
  ASSERT_EQ(found.size(), 2u);
  const at::Tensor expected[] = {
      probabilities_of(model, {256, 'a', 'b', 'c', 'd', 'e', 'f', 257}, {256, 'g', 257}),
      probabilities_of(model, {256, 'h', 257}, {256, 'i', 'j', 257})};
  for (size_t i = 0; i < 2; ++i) {
    for (size_t c = 0; c < 2; ++c) {
      EXPECT_NEAR(found[i][c], expected[i][static_cast<int64_t>(c)].item<double>(), 1e-6);
    }
  }
  EXPECT_TRUE(compare(model, {}).empty());
}

TEST(Compare, CutsEachTextToMaxLength) {
  const TextModel model = comparer();
  const PieceOptions options{
      .on_overflow = Overflow::kTruncate, .max_length = 3, .special_tokens = false};
  const Reading reading = read_two(model, {.text = "abcdef", .pair = "gh"}, options);
  EXPECT_TRUE(reading.pieces.truncated);
  const at::Tensor expected = probabilities_of(model, {'a', 'b', 'c'}, {'g', 'h'});
  EXPECT_NEAR(compare(model, {reading})[0][0], expected[0].item<double>(), 1e-6);
}

TEST(Compare, SaysWhatItNeeds) {
  const TextModel model = comparer();
  EXPECT_THAT([&] { read_two(model, {.text = "a", .source = "stdin:3"}); },
              ThrowsMessage<Error>(HasSubstr("stdin:3: there is one text")));
  EXPECT_THAT(
      [&] { read_two(model, {.text = "a", .pair = "b"}, {.on_overflow = Overflow::kChunk}); },
      ThrowsMessage<Error>(HasSubstr("on_overflow = chunk")));
  const TextModel encoder = small_text_model(small_text_config(Task::kEncoder));
  EXPECT_THAT([&] { compare(encoder, {}); },
              ThrowsMessage<Error>(HasSubstr("a retrieval model is needed")));
}

}  // namespace
}  // namespace lowrank::serve
