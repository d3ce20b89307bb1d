// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace lowrank::models {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

Json written(ModelConfig config) {
  return write_config([&](ConfigFields& fields) { describe(fields, config); });
}

ModelConfig read(const Json& json) {
  ModelConfig config;
  read_config(json, "config.json", [&](ConfigFields& fields) { describe(fields, config); });
  check(config, "config.json");
  return config;
}

ModelConfig read_toml(const std::string& text) { return read(parse_toml(text, "config.json")); }

// Every field away from its default.
ModelConfig unusual_config() {
  ModelConfig config;
  config.task = Task::kClassification;
  config.tokenizer = "words";
  config.width = 96;
  config.layers = 3;
  config.heads = 6;
  config.feed_forward = 100;
  config.activation = nn::Activation::kRelu;
  config.norm = nn::NormPosition::kPost;
  config.norm_epsilon = 1e-12;
  config.dropout = 0.25;
  nn::EmbeddingsOptions& embeddings = config.embeddings;
  embeddings.kind = nn::EmbeddingKind::kNgrams;
  embeddings.vocabulary = 300;
  embeddings.patch = 4;
  embeddings.ngrams = {2, 5};
  embeddings.buckets = 512;
  embeddings.positions = nn::Positions::kSinusoidal;
  embeddings.max_positions = 777;
  embeddings.position_offset = 2;
  embeddings.segments = 2;
  embeddings.norm = true;
  embeddings.dropout = 0.125;
  config.attention = {
      ExactOptions{.scale = 0.5},
      NystromOptions{
          .landmarks = 32, .exact_up_to = 224, .inverse_steps = 7, .conv = 9, .scale = 0.75},
      LinformerOptions{.projected = 8,
                       .max_length = 800,
                       .sharing = LinformerSharing::kLayerwise,
                       .projection = LinformerProjection::kConv,
                       .scale = 0.25}};
  config.compat = {.segment_length = 128, .per_matrix_start = true, .padding_token = 7};
  config.pooling = Pooling::kMax;
  config.head_activation = nn::Activation::kTanh;
  config.head_width = 40;
  config.tied_output = false;
  config.classes = {"a", "b", "c"};
  return config;
}

TEST(ModelConfig, ReadsBackEveryKeyThatItWrites) {
  const Json unusual = written(unusual_config());
  EXPECT_EQ(written(read(unusual)), unusual);
  const ModelConfig defaults;
  const Json usual = written(defaults);
  EXPECT_EQ(written(read(usual)), usual);
  for (const auto& [key, value] : unusual.items()) {
    if (key == "task" || key == "sentence_order") continue;  // the next test's
    EXPECT_NE(value, usual.value(key, Json())) << key << " is not exercised";
  }
}

TEST(ModelConfig, ReadsSentenceOrderForLanguageModelsAlone) {
  EXPECT_TRUE(read_toml("task = \"masked_language_model\"\nsentence_order = true").sentence_order);
  EXPECT_THAT(
      [] { read_toml("sentence_order = true"); },
      ::testing::ThrowsMessage<Error>(::testing::HasSubstr("a classifier has no such head")));
}

TEST(ModelConfig, ReadsOneAttentionTableOrOneALayer) {
  const ModelConfig one = read_toml("layers = 2\nattention = {kind = \"exact\"}");
  ASSERT_EQ(one.attention.size(), 1);
  EXPECT_TRUE(std::holds_alternative<ExactOptions>(attention_of_layer(one, 1)));
  const ModelConfig two = read_toml(
      "layers = 2\nattention = [{kind = \"linformer\", max_length = 2048, sharing = \"none\", "
      "projection = \"max_pool\"}, {kind = \"nystrom\", landmarks = 8}]");
  const auto* linformer = std::get_if<LinformerOptions>(&attention_of_layer(two, 0));
  ASSERT_TRUE(linformer);
  EXPECT_EQ(linformer->sharing, LinformerSharing::kNone);
  EXPECT_EQ(linformer->projection, LinformerProjection::kMaxPool);
  const auto* nystrom = std::get_if<NystromOptions>(&attention_of_layer(two, 1));
  ASSERT_TRUE(nystrom);
  EXPECT_EQ(nystrom->landmarks, 8);
}

ModelConfig config_of(const std::string& toml) {
  ModelConfig config;
  read_config(parse_toml(toml, "recipe.toml"), "recipe.toml",
              [&](ConfigFields& fields) { describe(fields, config); });
  return config;
}

TEST(ModelConfig, OfKindAutoIsNystromAttentionToBeMeasured) {
  const ModelConfig config = config_of("attention = {kind = \"auto\", landmarks = 8}");
  const auto& nystrom = std::get<NystromOptions>(config.attention[0]);
  EXPECT_EQ(nystrom, (NystromOptions{.landmarks = 8, .exact_up_to = kToBeMeasured}));
  const Json json = written(config);
  EXPECT_EQ(json["attention"][0]["kind"], "auto");
  EXPECT_FALSE(json["attention"][0].contains("exact_up_to"));
  EXPECT_EQ(written(config_of("attention = {kind = \"auto\", landmarks = 8}")), json);
}

TEST(ModelConfig, OfKindAutoWithANumberIsMeasuredAlready) {
  const ModelConfig config = config_of("attention = {kind = \"auto\", exact_up_to = 224}");
  EXPECT_EQ(std::get<NystromOptions>(config.attention[0]), NystromOptions{.exact_up_to = 224});
  EXPECT_EQ(written(config)["attention"][0]["kind"], "nystrom");
}

struct Mistake {
  std::string name, toml, fact, remedy;
};

class ModelConfigMistake : public ::testing::TestWithParam<Mistake> {};

TEST_P(ModelConfigMistake, IsNamedWithFileRuleAndRemedy) {
  EXPECT_THAT([] { read_toml(GetParam().toml); },
              ThrowsMessage<Error>(AllOf(HasSubstr("config.json"), HasSubstr(GetParam().fact),
                                         HasSubstr(GetParam().remedy))));
}

INSTANTIATE_TEST_SUITE_P(
    All, ModelConfigMistake,
    ::testing::Values(
        Mistake{"UnknownKey", "widht = 64", "key \"widht\" is not known", "Did you mean \"width\""},
        Mistake{"KeyOfAnotherKind", "attention = {kind = \"exact\", landmarks = 8}",
                "attention.landmarks", "not known"},
        Mistake{"SizeOfAHeadThatIsNotThere", "head_width = 8", "head_width = 8",
                "Set head_activation"},
        Mistake{"MissingKind", "attention = {landmarks = 8}", "\"attention.kind\" is missing",
                "Add it"},
        Mistake{"UnknownKind", "attention = {kind = \"nistrom\"}", "attention.kind", "nystrom"},
        Mistake{"Heads", "width = 64\nheads = 3", "heads = 3 does not divide width = 64",
                "Set heads to a divisor"},
        Mistake{"Entries", "layers = 3\nattention = [{kind = \"exact\"}, {kind = \"exact\"}]",
                "attention has 2 entries for 3 layers", "Add or remove"},
        Mistake{"ToBeMeasured", "attention = {kind = \"auto\"}",
                "attention[0]: kind = \"auto\"; a model needs the number", "Set exact_up_to"},
        Mistake{"ExactUpTo", "attention = {kind = \"nystrom\", exact_up_to = -1}",
                "attention.exact_up_to = -1", "from 0 to 65536"},
        Mistake{"EvenConvolution", "attention = {kind = \"nystrom\", conv = 4}",
                "attention[0]: conv = 4; it must be odd", "Use 5"},
        Mistake{"ProjectedTooLong",
                "attention = {kind = \"linformer\", projected = 5000, max_length = 4096}",
                "projected = 5000 exceeds max_length = 4096", "Lower projected"},
        Mistake{"PositionsTooMany",
                "attention = {kind = \"linformer\", max_length = 1024}\n"
                "embeddings = {max_positions = 2048}",
                "max_length = 1024 is less than embeddings.max_positions = 2048",
                "Raise max_length"},
        Mistake{"LayerwiseDiffer",
                "layers = 2\nattention = [{kind = \"linformer\", sharing = \"layerwise\"}, "
                "{kind = \"linformer\", sharing = \"layerwise\", projected = 128}]",
                "these layers share one E", "Make them alike"},
        Mistake{"PatchedLanguageModel",
                "task = \"masked_language_model\"\nembeddings = {patch = 2}",
                "embeddings.patch = 2", "Set it to 1"},
        Mistake{"HashedLanguageModel",
                "task = \"masked_language_model\"\nembeddings = {kind = \"ngrams\"}",
                "embeddings.kind is not tokens", "Set it to tokens"},
        Mistake{"NoNgrams", "embeddings = {kind = \"ngrams\", ngrams = []}",
                "embeddings.ngrams = []", "Use [1, 3]"},
        Mistake{"NgramTwice", "embeddings = {kind = \"ngrams\", ngrams = [3, 3]}",
                "embeddings.ngrams = [3, 3]", "each once"},
        Mistake{"ClassTwice", "classes = [\"a\", \"a\"]", "classes names 2 labels", "duplicates"},
        Mistake{"Dropout", "dropout = 1.5", "dropout = 1.5", "0.99"}),
    [](const auto& mistake) { return mistake.param.name; });

}  // namespace
}  // namespace lowrank::models
