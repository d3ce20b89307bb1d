// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/fairseq.h"

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
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr int64_t kWidth = 12, kHidden = 20, kVocabulary = 30, kLength = 16, kProjected = 4;

void add(NamedTensors& dict, const std::string& name, std::vector<int64_t> sizes) {
  dict.emplace_back(name, at::randn(sizes));
}

void add_linear(NamedTensors& dict, const std::string& name, int64_t out, int64_t in) {
  add(dict, name + ".weight", {out, in});
  add(dict, name + ".bias", {out});
}

void add_norm(NamedTensors& dict, const std::string& name) {
  add(dict, name + ".weight", {kWidth});
  add(dict, name + ".bias", {kWidth});
}

Tensor find(const NamedTensors& tensors, const std::string& name) {
  for (const auto& [known, tensor] : tensors) {
    if (known == name) return tensor;
  }
  ADD_FAILURE() << name << " is missing";
  return at::zeros({1});
}

// Of two layers, which have `sharing` as we name it.
NamedTensors checkpoint(const std::string& sharing, const std::string& root = "encoder.") {
  NamedTensors dict;
  const std::string p = root + "sentence_encoder.";
  add(dict, p + "embed_tokens.weight", {kVocabulary, kWidth});
  add(dict, p + "embed_positions.weight", {kLength + 2, kWidth});
  add_norm(dict, p + (root == "encoder." ? "layernorm_embedding" : "emb_layer_norm"));
  const Tensor shared = at::randn({kProjected, kLength}), bias = at::randn({kProjected});
  for (const char* i : {"0", "1"}) {
    const std::string layer = p + "layers." + i + ".", attention = layer + "self_attn.";
    for (const char* part : {"q_proj", "k_proj", "v_proj", "out_proj"}) {
      add_linear(dict, attention + part, kWidth, kWidth);
    }
    for (const char* part : {"self_attn_layer_norm", "final_layer_norm"})
      add_norm(dict, layer + part);
    add_linear(dict, layer + "fc1", kHidden, kWidth);
    add_linear(dict, layer + "fc2", kWidth, kHidden);
    if (sharing == "layerwise") {
      for (const char* part :
           {"self_attn.compress_k.", "self_attn.compress_v.", "shared_compress_layer."}) {
        dict.emplace_back(layer + part + "weight", shared);
        dict.emplace_back(layer + part + "bias", bias);
      }
      continue;
    }
    add(dict, attention + "compress_k.weight", {kProjected, kLength});
    if (sharing == "headwise") add(dict, attention + "compress_v.weight", {kProjected, kLength});
  }
  add_linear(dict, root + "lm_head.dense", kWidth, kWidth);
  add_norm(dict, root + "lm_head.layer_norm");
  dict.emplace_back(root + "lm_head.weight", dict.front().second);
  add(dict, root + "lm_head.bias", {kVocabulary});
  dict.emplace_back(root + "version", at::tensor({2}));
  return dict;
}

TEST(Fairseq, ALanguageModelKeepsItsFunctionByAProfile) {
  const NamedTensors dict = checkpoint("headwise");
  ASSERT_EQ(recognize(dict), ForeignFormat::kFairseq);
  const NativeCheckpoint got = import_fairseq(dict, {.heads = 3}, false, "model.pt");
  EXPECT_EQ(got.model, Json::parse(R"({
    "tokenizer": "files", "width": 12, "layers": 2, "heads": 3, "feed_forward": 20,
    "activation": "gelu", "norm": "post", "norm_epsilon": 1e-5,
    "embeddings": {"kind": "tokens", "vocabulary": 30, "positions": "learned", "max_positions": 16,
                   "position_offset": 2, "segments": 0, "norm": true},
    "attention": {"kind": "linformer", "projected": 4, "max_length": 16, "sharing": "headwise",
                  "projection": "linear"},
    "compat": {"profile": "fairseq", "padding_token": 1, "padded": true},
    "pooling": "cls", "task": "masked_language_model", "tied_output": true})"));
  EXPECT_TRUE(got.notes.empty());
  // 4 of the embeddings, 2 layers of 8 linear or norm layers, E and F, 5 of the head.
  EXPECT_EQ(got.tensors.size(), 4 + 2 * (8 * 2 + 2) + 5);
  const auto same = [&](const char* ours, const std::string& theirs) {
    const std::string p = "encoder.sentence_encoder.layers.1.";
    EXPECT_TRUE(testing::same_bits(find(got.tensors, ours), find(dict, p + theirs))) << ours;
  };
  same("layers.1.attention.key.bias", "self_attn.k_proj.bias");
  same("layers.1.attention.e", "self_attn.compress_k.weight");
  same("layers.1.attention.f", "self_attn.compress_v.weight");
  same("layers.1.norm1.weight", "self_attn_layer_norm.weight");
  same("layers.1.norm2.weight", "final_layer_norm.weight");
  same("layers.1.expand.weight", "fc1.weight");
}

TEST(Fairseq, SharingIsSeenInTheBits) {
  const NativeCheckpoint kv = import_fairseq(checkpoint("kv"), {.heads = 3}, true, "a");
  EXPECT_EQ(kv.model.at("attention").at("sharing"), "kv");
  EXPECT_EQ(kv.model.at("compat").at("padded"), false);  // --fixed
  NamedTensors dict = checkpoint("layerwise");
  const NativeCheckpoint layerwise = import_fairseq(dict, {.heads = 3}, false, "a");
  EXPECT_EQ(layerwise.model.at("attention").at("sharing"), "layerwise");
  EXPECT_TRUE(testing::same_bits(
      find(layerwise.tensors, "shared_e"),
      find(dict, "encoder.sentence_encoder.layers.0.self_attn.compress_k.weight")));
  // Older programs meant to share and did not.
  for (auto& [name, tensor] : dict) {
    if (name.find("layers.1.self_attn.compress_") != std::string::npos) tensor = tensor + 1;
  }
  EXPECT_EQ(import_fairseq(dict, {.heads = 3}, false, "a").model.at("attention").at("sharing"),
            "headwise");
}

TEST(Fairseq, OlderCheckpointsCallTheEncoderADecoder) {
  const NativeCheckpoint got =
      import_fairseq(checkpoint("kv", "decoder."), {.heads = 3}, false, "a");
  find(got.tensors, "embeddings.norm.weight");
  find(got.tensors, "head_norm.weight");
}

TEST(Fairseq, AnOutputLayerOfItsOwnIsKept) {
  NamedTensors dict = checkpoint("kv");
  for (auto& [name, tensor] : dict) {
    if (name == "encoder.lm_head.weight") tensor = tensor + 1;
  }
  const NativeCheckpoint got = import_fairseq(dict, {.heads = 3}, false, "a");
  EXPECT_EQ(got.model.at("tied_output"), false);
  find(got.tensors, "output_table");
}

TEST(Fairseq, AClassificationHeadIsTheTask) {
  NamedTensors dict = checkpoint("kv");
  add_linear(dict, "classification_heads.mnli.dense", kWidth, kWidth);
  add_linear(dict, "classification_heads.mnli.out_proj", 3, kWidth);
  const NativeCheckpoint got = import_fairseq(dict, {.heads = 3}, false, "a");
  EXPECT_EQ(got.model.at("task"), "classification");
  EXPECT_EQ(got.model.at("head_activation"), "tanh");
  EXPECT_EQ(got.model.at("classes").size(), 3);
  EXPECT_EQ(got.notes.size(), 1);
  add_linear(dict, "classification_heads.rte.dense", kWidth, kWidth);
  add_linear(dict, "classification_heads.rte.out_proj", 2, kWidth);
  EXPECT_THAT(
      [&] { import_fairseq(dict, {.heads = 3}, false, "a"); },
      ThrowsMessage<Error>(HasSubstr("head = \"\"; it must be one of mnli, rte. Pass head.")));
  const NativeCheckpoint rte = import_fairseq(dict, {.heads = 3, .head = "rte"}, false, "a");
  EXPECT_EQ(rte.model.at("classes").size(), 2);
}

// Sizes are compared with those of a model, once there is one; here nothing may rest on them.
TEST(Fairseq, OddShapesAreNotTrusted) {
  const NamedTensors dict = checkpoint("headwise");
  for (size_t i = 0; i < dict.size(); ++i) {
    for (const Tensor& other :
         {at::zeros({}), at::zeros({0}), at::zeros({1, 0, 3}), at::zeros({2}, at::kLong)}) {
      NamedTensors broken = dict;
      broken[i].second = other;
      try {
        EXPECT_GE(import_fairseq(broken, {.heads = 3}, false, "a").tensors.size(), 20);
      } catch (const Error& error) {
        EXPECT_THAT(error.what(), HasSubstr("a: "));
      }
    }
  }
}

TEST(Fairseq, TheMapOfNamesIsTotal) {
  const NamedTensors dict = checkpoint("headwise");
  for (const auto& [name, tensor] : dict) {
    if (name == "encoder.lm_head.weight" || name == "encoder.version") continue;
    if (name.ends_with("layers.0.self_attn.compress_v.weight")) continue;  // F of layer 1 is extra
    NamedTensors rest = dict;
    std::erase_if(rest, [&](const auto& entry) { return entry.first == name; });
    if (name == "encoder.lm_head.dense.weight") continue;  // then it has no such head
    EXPECT_THAT([&] { import_fairseq(rest, {.heads = 3}, false, "a"); },
                ThrowsMessage<Error>(HasSubstr("\"" + name + "\" is missing")))
        << name;
  }
  NamedTensors more = dict;
  more.emplace_back("encoder.sentence_encoder.layers.0.fc3.weight", at::zeros({1}));
  EXPECT_THAT([&] { import_fairseq(more, {.heads = 3}, false, "model.pt"); },
              ThrowsMessage<Error>(
                  AllOf(HasSubstr("model.pt: 1 of its tensors do not fit"),
                        HasSubstr("\"encoder.sentence_encoder.layers.0.fc3.weight\" is extra"))));
}

TEST(Fairseq, AsksForTheHeads) {
  EXPECT_THAT([] { import_fairseq(checkpoint("kv"), {}, false, "model.pt"); },
              ThrowsMessage<Error>(HasSubstr("model.pt: heads is not to be seen in the tensors of "
                                             "fairseq's linformer_roberta. Pass heads.")));
}

}  // namespace
}  // namespace lowrank::models
