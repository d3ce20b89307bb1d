// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/embed.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/attention_kinds.h"
#include "tests/support/small_text_model.h"

namespace lowrank::serve {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const std::string kLong(100, 'x');  // where 31 bytes fit

double difference(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

EmbedOptions with(Overflow policy, bool normalize = true) {
  return {.normalize = normalize, .pieces = {.on_overflow = policy}};
}

TEST(Embedder, GivesATextOneVectorWhateverIsBesideItAndWhateverTheBudget) {
  for (const auto& [name, kind] : testing::attention_kinds()) {
    const TextModel model =
        testing::small_text_model(testing::small_text_config(models::Task::kEncoder, kind));
    const std::vector<std::string> texts = {"one", kLong, "a text of 21 bytes ...", "x", "two"};
    const at::Tensor together = Embedder(model).embed(texts);
    EmbedOptions narrow;
    narrow.token_budget = 1;
    EXPECT_LE(difference(Embedder(model, narrow).embed(texts), together), 1e-6) << name;
    for (size_t i = 0; i < texts.size(); ++i) {
      const at::Tensor alone = Embedder(model).embed(std::vector<std::string>{texts[i]});
      EXPECT_LE(difference(alone[0], together[static_cast<int64_t>(i)]), 1e-6) << name;
    }
  }
}

TEST(Embedder, ReadsATextThatFitsAlikeUnderEveryPolicy) {
  const TextModel model = testing::small_text_model();
  const std::vector<std::string> texts = {"a text that fits"};
  const at::Tensor plain = Embedder(model, with(Overflow::kError)).embed(texts);
  for (const Overflow policy : {Overflow::kTruncate, Overflow::kChunk, Overflow::kInterpolate}) {
    EXPECT_TRUE(at::equal(Embedder(model, with(policy)).embed(texts), plain));
  }
}

TEST(Embedder, TakesTheMeanOfChunksByTheirTokens) {
  const TextModel model = testing::small_text_model();
  Embedder embedder(model, with(Overflow::kChunk, false));
  const auto part = [&](size_t begin) {
    return embedder.embed(std::vector<std::string>{kLong.substr(begin, 31)})[0];
  };
  const at::Tensor expected = (31 * (part(0) + part(31) + part(62)) + 7 * part(93)) / 100;
  const at::Tensor got = embedder.embed(std::vector<std::string>{kLong})[0];
  EXPECT_LE(difference(got, expected), 1e-6);
  const at::Tensor unit = Embedder(model).embed(std::vector<std::string>{kLong})[0];
  EXPECT_LE(difference(unit, expected / expected.norm()), 1e-6);
}

TEST(Embedder, ReadsALongTextInOnePassWhereAsked) {
  const TextModel model = testing::small_text_model();
  const at::Tensor one_pass =
      Embedder(model, with(Overflow::kInterpolate)).embed(std::vector<std::string>{kLong});
  EXPECT_NEAR(one_pass.norm().item<double>(), 1, 1e-6);
  EXPECT_GT(difference(one_pass, Embedder(model).embed(std::vector<std::string>{kLong})), 1e-3);
}

TEST(Embedder, PoolsAsTheModelSaysOrAsAsked) {
  models::ModelConfig config = testing::small_text_config();
  config.pooling = models::Pooling::kCls;
  const TextModel model = testing::small_text_model(config);
  const auto embed = [&](std::optional<models::Pooling> pooling) {
    EmbedOptions options;
    options.pooling = pooling;
    return Embedder(model, options).embed(std::vector<std::string>{"text"});
  };
  EXPECT_TRUE(at::equal(embed({}), embed(models::Pooling::kCls)));
  EXPECT_FALSE(at::equal(embed({}), embed(models::Pooling::kMean)));
  EXPECT_FALSE(at::equal(embed({}), embed(models::Pooling::kMax)));
}

TEST(Embedder, NamesATextThatCannotBeRead) {
  EXPECT_THAT(
      [] {
        Embedder(testing::small_text_model()).embed(std::vector<std::string>{"a", ""});
      },
      ThrowsMessage<Error>(HasSubstr("text 2 is empty")));
}

TEST(Embedder, HasNoVectorsOfNoTexts) {
  EXPECT_EQ(Embedder(testing::small_text_model()).embed(std::vector<std::string>{}).sizes(),
            (std::vector<int64_t>{0, 12}));
}

TEST(Embedder, ReadsTextsInHalfThePrecision) {
  TextModel model = testing::small_text_model();
  const std::vector<std::string> texts = {"some text", kLong};
  const at::Tensor exact = Embedder(model).embed(texts);
  model.model->to(at::kBFloat16);
  const at::Tensor got = Embedder(model).embed(texts);
  EXPECT_EQ(got.scalar_type(), at::kFloat);
  EXPECT_GT((got * exact).sum(1).min().item<double>(), 0.999);
}

}  // namespace
}  // namespace lowrank::serve
