// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/mlpen.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/models/foreign_format.h"
#include "tests/support/oracle.h"

namespace lowrank::models {
namespace {

using at::Tensor;
using io::NamedTensors;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr int64_t kWidth = 12, kHeads = 3, kHidden = 20, kVocabulary = 30, kLength = 16;

class StateDict {
 public:
  StateDict& add(const std::string& name, std::vector<int64_t> sizes) {
    tensors_.emplace_back(name, at::randn(sizes));
    return *this;
  }
  StateDict& linear(const std::string& name, int64_t out, int64_t in) {
    return add(name + ".weight", {out, in}).add(name + ".bias", {out});
  }
  StateDict& norm(const std::string& name) {
    return add(name + ".weight", {kWidth}).add(name + ".bias", {kWidth});
  }
  StateDict& mha(const std::string& layer) {
    for (const char* part : {"W_q", "W_k", "W_v", "ff"})
      linear(layer + "mha." + part, kWidth, kWidth);
    return *this;
  }
  const NamedTensors& tensors() const { return tensors_; }

 private:
  NamedTensors tensors_;
};

// Of code/model.py.
StateDict encoder(const std::string& p, const char* attention) {
  StateDict dict;
  dict.add(p + "embeddings.word_embeddings.weight", {kVocabulary, kWidth});
  dict.add(p + "embeddings.position_embeddings.weight", {kLength + 2, kWidth});
  dict.add(p + "embeddings.token_type_embeddings.weight", {1, kWidth});
  dict.norm(p + "embeddings.norm");
  for (const char* i : {"0", "1"}) {
    const std::string layer = p + "transformer_" + i + ".";
    dict.mha(layer).norm(layer + "norm1").norm(layer + "norm2");
    dict.linear(layer + "ff1", kHidden, kWidth).linear(layer + "ff2", kWidth, kHidden);
    if (attention == std::string("nystrom"))
      dict.add(layer + "mha.attn.conv.weight", {kHeads, 1, 5, 1});
    if (attention == std::string("linformer")) dict.add(layer + "mha.attn.E", {kHeads, 6, kLength});
  }
  return dict;
}

StateDict language_model(const char* attention) {
  StateDict dict = encoder("model.", attention);
  dict.linear("mlm.dense", kWidth, kWidth).norm("mlm.norm");
  return dict.linear("mlm.mlm_class", kVocabulary, kWidth);
}

// Of LRA/code/model.py.
StateDict benchmark(bool shared_layer) {
  StateDict dict;
  dict.add("model.embeddings.word_embeddings.weight", {kVocabulary, kWidth});
  dict.add("model.embeddings.position_embeddings.weight", {kLength, kWidth});
  for (const char* name : {"transformer_0.", "transformer_1."}) {
    const std::string layer = std::string("model.") + (shared_layer ? "transformer." : name);
    dict.norm(layer + "norm1").norm(layer + "norm2").mha(layer);
    dict.linear(layer + "mlpblock.0", kHidden, kWidth)
        .linear(layer + "mlpblock.3", kWidth, kHidden);
    if (shared_layer) break;
  }
  dict.norm("model.norm");
  return dict.linear("seq_classifer.mlpblock.0", kHidden, kWidth)
      .linear("seq_classifer.mlpblock.2", 10, kHidden);
}

ForeignHints nystrom_hints() { return {.landmarks = 4, .segment_length = kLength}; }

Tensor find(const NamedTensors& tensors, const std::string& name) {
  for (const auto& [known, tensor] : tensors) {
    if (known == name) return tensor;
  }
  ADD_FAILURE() << name << " is missing";
  return at::zeros({1});
}

TEST(Mlpen, APretrainedModelKeepsItsFunctionByAProfile) {
  const StateDict dict = language_model("nystrom");
  ASSERT_EQ(recognize(dict.tensors()), ForeignFormat::kMlpen);
  const NativeCheckpoint got =
      import_mlpen(dict.tensors(), nystrom_hints(), false, "cp-0099.model");
  EXPECT_EQ(got.model, Json::parse(R"({
    "tokenizer": "files", "width": 12, "layers": 2, "heads": 3, "feed_forward": 20,
    "activation": "gelu_tanh", "norm": "post", "norm_epsilon": 1e-5,
    "embeddings": {"kind": "tokens", "vocabulary": 30, "positions": "learned", "max_positions": 16,
                   "position_offset": 2, "segments": 1, "norm": true},
    "attention": {"kind": "nystrom", "landmarks": 4, "conv": 5},
    "compat": {"profile": "mlpen", "segment_length": 16, "per_matrix_start": false,
               "padding_token": 1},
    "task": "masked_language_model", "pooling": "cls"})"));
  EXPECT_TRUE(got.notes.empty());
  // 5 of the embeddings, 2 layers of 8 linear or norm layers and a filter, 5 of the head.
  EXPECT_EQ(got.tensors.size(), 5 + 2 * (8 * 2 + 1) + 5);
  const auto same = [&](const char* ours, const char* theirs) {
    EXPECT_TRUE(testing::same_bits(find(got.tensors, ours), find(dict.tensors(), theirs))) << ours;
  };
  same("embeddings.positions", "model.embeddings.position_embeddings.weight");
  same("layers.1.attention.value.bias", "model.transformer_1.mha.W_v.bias");
  same("layers.1.attention.output.weight", "model.transformer_1.mha.ff.weight");
  same("layers.0.contract.weight", "model.transformer_0.ff2.weight");
  same("output_bias", "mlm.mlm_class.bias");
  EXPECT_EQ(find(got.tensors, "layers.0.attention.filter").sizes(),
            (std::vector<int64_t>{kHeads, 5}));
}

TEST(Mlpen, WithoutItsQuirksItHasNoProfile) {
  const StateDict dict = language_model("nystrom");
  EXPECT_FALSE(import_mlpen(dict.tensors(), nystrom_hints(), true, "a").model.contains("compat"));
}

TEST(Mlpen, AsManyLandmarksAsTheSegmentLengthIsExactAttention) {
  ForeignHints hints = nystrom_hints();
  hints.landmarks = kLength;
  const Json model = import_mlpen(language_model("nystrom").tensors(), hints, true, "a").model;
  EXPECT_EQ(model.at("attention").at("exact_up_to"), 65536);
}

TEST(Mlpen, LinformerAttentionNeedsNoProfileAndHasItsMatrixTwice) {
  const StateDict dict = language_model("linformer");
  const NativeCheckpoint got = import_mlpen(dict.tensors(), {}, false, "a");
  EXPECT_EQ(got.model.at("attention"), Json::parse(R"({"kind": "linformer", "projected": 6,
      "max_length": 16, "sharing": "none", "projection": "linear"})"));
  EXPECT_EQ(got.model.at("heads"), kHeads);
  EXPECT_FALSE(got.model.contains("compat"));
  for (const char* name : {"layers.1.attention.e", "layers.1.attention.f"}) {
    EXPECT_TRUE(testing::same_bits(find(got.tensors, name),
                                   find(dict.tensors(), "model.transformer_1.mha.attn.E")));
  }
}

TEST(Mlpen, AClassifierLeavesTheLanguageModelsHeadOut) {
  StateDict dict = language_model("softmax");
  dict.linear("sen_classifer.dense", kWidth, kWidth).linear("sen_classifer.classifer", 3, kWidth);
  const NativeCheckpoint got =
      import_mlpen(dict.tensors(), {.heads = 3, .attention = "softmax"}, false, "a");
  EXPECT_EQ(got.model.at("task"), "classification");
  EXPECT_EQ(got.model.at("head_activation"), "tanh");
  EXPECT_EQ(got.model.at("classes"), (Json{"0", "1", "2"}));
  EXPECT_EQ(got.model.at("attention"), (Json{{"kind", "exact"}}));
  EXPECT_THAT(got.notes, ElementsAre("\"mlm.*\" is left out: the model's task is another."));
  find(got.tensors, "classifier.weight");
}

TEST(Mlpen, TwoOutputsAreQuestionAnsweringAndOneIsNothingHere) {
  const ForeignHints hints{.heads = 3, .attention = "softmax"};
  StateDict two = language_model("softmax"), one = language_model("softmax");
  two.linear("qahead", 2, kWidth);
  one.linear("qahead", 1, kWidth);
  EXPECT_EQ(import_mlpen(two.tensors(), hints, false, "a").model.at("task"), "question_answering");
  const NativeCheckpoint got = import_mlpen(one.tensors(), hints, false, "a");
  EXPECT_EQ(got.model.at("task"), "encoder");
  EXPECT_EQ(got.notes.size(), 2);
}

TEST(Mlpen, TheBenchmarksModelIsAPreNormEncoder) {
  const NativeCheckpoint got =
      import_mlpen(benchmark(false).tensors(), {.heads = 3, .attention = "softmax"}, false, "a");
  EXPECT_EQ(got.model.at("norm"), "pre");
  EXPECT_EQ(got.model.at("activation"), "gelu");
  EXPECT_EQ(got.model.at("pooling"), "mean");
  EXPECT_EQ(got.model.at("embeddings").at("position_offset"), 0);
  EXPECT_EQ(got.model.at("embeddings").at("max_positions"), kLength);
  EXPECT_THAT(got.notes, ElementsAre(HasSubstr("seq_classifer.")));
  find(got.tensors, "final_norm.weight");
  find(got.tensors, "layers.1.expand.weight");
}

TEST(Mlpen, OneLayerForAllIsRepeated) {
  const StateDict dict = benchmark(true);
  ForeignHints hints{.heads = 3, .layers = 3, .attention = "softmax"};
  const NativeCheckpoint got = import_mlpen(dict.tensors(), hints, false, "a");
  EXPECT_EQ(got.model.at("layers"), 3);
  EXPECT_TRUE(testing::same_bits(find(got.tensors, "layers.2.attention.key.weight"),
                                 find(dict.tensors(), "model.transformer.mha.W_k.weight")));
  hints.layers = {};
  EXPECT_THAT([&] { import_mlpen(dict.tensors(), hints, false, "a"); },
              ThrowsMessage<Error>(HasSubstr("layers is not to be seen")));
}

// Sizes are compared with those of a model, once there is one; here nothing may rest on them.
TEST(Mlpen, OddShapesAreNotTrusted) {
  const NamedTensors dict = language_model("nystrom").tensors();
  for (size_t i = 0; i < dict.size(); ++i) {
    for (const Tensor& other :
         {at::zeros({}), at::zeros({0}), at::zeros({1, 0, 3}), at::zeros({2}, at::kLong)}) {
      NamedTensors broken = dict;
      broken[i].second = other;
      try {
        EXPECT_GE(import_mlpen(broken, nystrom_hints(), false, "a").tensors.size(), 20);
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("a: "));
      }
    }
  }
}

TEST(Mlpen, TheMapOfNamesIsTotal) {
  const StateDict dict = language_model("nystrom");
  for (const auto& [name, tensor] : dict.tensors()) {
    if (name == "mlm.mlm_class.weight") continue;                  // the token table
    if (name.ends_with("token_type_embeddings.weight")) continue;  // tells the two programs apart
    NamedTensors rest = dict.tensors();
    std::erase_if(rest, [&](const auto& entry) { return entry.first == name; });
    EXPECT_THROW(
        import_mlpen(
            rest, {.heads = 3, .landmarks = 4, .segment_length = kLength, .attention = "nystrom"},
            false, "a"),
        Error)
        << name;
  }
  NamedTensors wrong = dict.tensors();
  std::erase_if(wrong, [&](const auto& entry) { return entry.first == "mlm.norm.bias"; });
  wrong.emplace_back("model.transformer_1.mha.W_x.weight", at::zeros({1}));
  EXPECT_THAT(
      [&] { import_mlpen(wrong, nystrom_hints(), false, "cp.model"); },
      ThrowsMessage<Error>(AllOf(HasSubstr("cp.model: 2 of its tensors do not fit"),
                                 HasSubstr("\"mlm.norm.bias\" is missing"),
                                 HasSubstr("\"model.transformer_1.mha.W_x.weight\" is extra"))));
}

TEST(Mlpen, SaysWhatTheTensorsDoNotTell) {
  const auto import = [](const char* attention, const ForeignHints& hints) {
    return [=] { import_mlpen(language_model(attention).tensors(), hints, false, "a"); };
  };
  const auto expect = [&](const std::function<void()>& call, const char* message) {
    EXPECT_THAT(call, ThrowsMessage<Error>(HasSubstr(message)));
  };
  expect(import("softmax", {.heads = 3}), "softmax and nystrom without a convolution look alike");
  expect(import("softmax", {.attention = "softmax"}), "heads is not to be seen");
  expect(import("softmax", {.heads = 3, .attention = "reformer"}),
         "attention = \"reformer\"; these tensors can be those of softmax or nystrom");
  expect(import("nystrom", {.segment_length = 16}), "landmarks is not to be seen");
  expect(import("nystrom", {.landmarks = 4}), "segment_length is not to be seen");
  expect(import("nystrom", {.landmarks = 512, .segment_length = 64}),
         "landmarks = 512 exceeds segment_length = 64");
}

TEST(MlpenConfig, GivesTheHints) {
  const ForeignHints hints = read_mlpen_config(Json::parse(R"({"model": {"num_head": 12,
      "attn_type": "nystrom-64", "num_landmarks": 64, "max_seq_len": 512, "dropout_prob": 0.1,
      "inv_coeff_init_option": true, "inv_init_coeff_option": "exact"}, "gpu_setting": {}})"),
                                               "c");
  EXPECT_EQ(hints.heads, 12);
  EXPECT_EQ(hints.landmarks, 64);
  EXPECT_EQ(hints.segment_length, 512);
  EXPECT_EQ(hints.attention, "nystrom");
  EXPECT_EQ(hints.layers, std::nullopt);
  EXPECT_TRUE(hints.per_matrix_start);
  EXPECT_THAT([] { read_mlpen_config(Json::object(), "c"); },
              ThrowsMessage<Error>(HasSubstr("c: \"model\" is missing")));
  EXPECT_THAT(
      [] {
        read_mlpen_config(Json{{"model", {{"num_head", "x"}}}}, "c");
      },
      ThrowsMessage<Error>(HasSubstr("num_head = \"x\"")));
}

}  // namespace
}  // namespace lowrank::models
