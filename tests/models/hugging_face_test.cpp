// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/hugging_face.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/file.h"
#include "lowrank/io/load_tensors.h"
#include "lowrank/models/model_directory.h"
#include "tests/support/golden.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::models {
namespace {

using lowrank::testing::TemporaryFolder;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::ThrowsMessage;

struct Case {
  std::string type;
  Task task;
};

// A model as transformers has it: 40 tokens, 24 positions, width 8.
ModelConfig config_of(const Case& c) {
  const bool nystrom = c.type == "nystromformer";
  ModelConfig config;
  config.task = c.task;
  config.tokenizer = "files";
  config.width = 8;
  config.feed_forward = 12;
  config.norm = nn::NormPosition::kPost;
  config.norm_epsilon = 1e-12;
  config.embeddings.vocabulary = 40;
  config.embeddings.max_positions = 24;
  config.embeddings.segments = c.type == "roberta" ? 1 : 2;
  config.embeddings.norm = true;
  config.embeddings.position_offset = c.type == "bert" ? 0 : 2;
  config.attention = {ExactOptions{}};
  if (nystrom) {
    config.attention = {NystromOptions{.landmarks = 4, .conv = 3}};
    config.compat = {.profile = Profile::kHuggingFace, .segment_length = 12, .padding_token = 1};
    config.activation = nn::Activation::kGeluTanh;
  }
  config.pooling = Pooling::kCls;
  if (c.task == Task::kClassification) {
    config.head_activation = nystrom ? config.activation : nn::Activation::kTanh;
  }
  if (c.task == Task::kMultipleChoice) {
    config.head_activation = nystrom ? nn::Activation::kRelu : nn::Activation::kTanh;
  }
  if (c.task == Task::kEncoder && !nystrom) config.head_activation = nn::Activation::kTanh;
  if (c.task == Task::kClassification || c.task == Task::kTokenClassification) {
    config.classes = {"no", "yes", "perhaps"};
  }
  return config;
}

void expect_same(const Model& a, const Model& b) {
  const auto expected = a.named_parameters(), found = b.named_parameters();
  ASSERT_EQ(expected.size(), found.size());
  for (const auto& parameter : expected) {
    EXPECT_TRUE(at::equal(parameter.value(), found[parameter.key()])) << parameter.key();
  }
  ModelConfig own = a.config(), other = b.config();
  EXPECT_EQ(write_config([&](ConfigFields& fields) { describe(fields, own); }),
            write_config([&](ConfigFields& fields) { describe(fields, other); }));
}

std::vector<Case> cases() {
  std::vector<Case> all;
  for (const char* type : {"bert", "roberta", "nystromformer"}) {
    for (const Task task :
         {Task::kEncoder, Task::kMaskedLanguageModel, Task::kClassification,
          Task::kTokenClassification, Task::kQuestionAnswering, Task::kMultipleChoice}) {
      all.push_back({type, task});
    }
  }
  return all;
}

std::string case_name(const ::testing::TestParamInfo<Case>& test) {
  std::string name = test.param.type + "_" + in_words(test.param.task);
  for (char& c : name) c = c == ' ' ? '_' : c;
  return name;
}

class HuggingFace : public ::testing::TestWithParam<Case> {};

TEST_P(HuggingFace, GivesBackTheSameBitsAndTheSameConfiguration) {
  const TemporaryFolder folder;
  Model model(config_of(GetParam()));
  EXPECT_THAT(save_hugging_face(model, folder.path()), IsEmpty());
  const HuggingFaceModel loaded = load_hugging_face(folder.path());
  EXPECT_EQ(loaded.type, GetParam().type);
  EXPECT_THAT(loaded.notes, IsEmpty());
  EXPECT_FALSE(loaded.model->is_training());
  expect_same(model, *loaded.model);
  expect_same(model, *load_model(folder.path()));  // which tells whose directory it is
}

TEST_P(HuggingFace, LeavesTheProfileAwayWhenFixed) {
  const TemporaryFolder folder;
  save_hugging_face(Model(config_of(GetParam())), folder.path());
  EXPECT_EQ(load_hugging_face(folder.path(), true).model->config().compat.profile, Profile::kNone);
}

TEST_P(HuggingFace, ListsEveryTensorThatDoesNotFitAtOnce) {
  const TemporaryFolder folder;
  save_hugging_face(Model(config_of(GetParam())), folder.path());
  const auto path = folder.path() / "model.safetensors";
  io::NamedTensors changed;
  for (const auto& [name, tensor] : io::load_safetensors(path)) {
    if (name.ends_with("layer.1.output.dense.bias")) continue;
    const bool wrong = name.ends_with("layer.0.attention.self.key.weight");
    changed.emplace_back(name, wrong ? at::zeros({8, 9}) : tensor);
  }
  changed.emplace_back("surplus", at::zeros({1}));
  io::save_safetensors(path, changed);
  EXPECT_THAT([&] { load_hugging_face(folder.path()); },
              ThrowsMessage<Error>(AllOf(
                  HasSubstr("model.safetensors: 3 of its tensors"),
                  HasSubstr("encoder.layer.1.output.dense.bias\" is missing"),
                  HasSubstr("layer.0.attention.self.key.weight\" is [8, 9] instead of [8, 8]"),
                  HasSubstr("\"surplus\" is extra"), Not(HasSubstr("LayerNorm")))));
}

INSTANTIATE_TEST_SUITE_P(All, HuggingFace, ::testing::ValuesIn(cases()), case_name);

// What old checkpoints hold beside their parameters, and under old names.
TEST(HuggingFaceFiles, MayHoldTiedCopiesIndicesOtherHeadsAndOldNames) {
  const TemporaryFolder folder;
  Model model(config_of({"bert", Task::kMaskedLanguageModel}));
  save_hugging_face(model, folder.path());
  const auto path = folder.path() / "model.safetensors";
  io::NamedTensors changed;
  for (const auto& [name, tensor] : io::load_safetensors(path)) {
    std::string old = name;
    for (const auto& [now, then] : {std::pair{"LayerNorm.weight", "LayerNorm.gamma"},
                                    std::pair{"LayerNorm.bias", "LayerNorm.beta"}}) {
      if (old.ends_with(now)) old.replace(old.size() - std::string(now).size(), 99, then);
    }
    changed.emplace_back(old, tensor);
  }
  changed.emplace_back("bert.embeddings.position_ids", at::arange(24).unsqueeze(0));
  changed.emplace_back("cls.predictions.decoder.weight",
                       model.named_parameters()["embeddings.tokens"]);
  changed.emplace_back("cls.predictions.decoder.bias", at::zeros({40}));
  changed.emplace_back("cls.seq_relationship.weight", at::zeros({2, 8}));
  io::save_safetensors(path, changed);
  const HuggingFaceModel loaded = load_hugging_face(folder.path());
  expect_same(model, *loaded.model);
  ASSERT_EQ(loaded.notes.size(), 1U);
  EXPECT_THAT(loaded.notes[0], HasSubstr("\"cls.seq_relationship.weight\" is of a head"));
}

TEST(HuggingFaceFiles, KeepAnOutputTableOfItsOwn) {
  for (const char* type : {"bert", "roberta", "nystromformer"}) {
    const TemporaryFolder folder;
    ModelConfig config = config_of({type, Task::kMaskedLanguageModel});
    config.tied_output = false;
    Model model(config);
    save_hugging_face(model, folder.path());
    expect_same(model, *load_hugging_face(folder.path()).model);
  }
}

TEST(HuggingFaceFiles, SayThePoolingOfASentenceEncoder) {
  for (const Pooling pooling : {Pooling::kMean, Pooling::kMax}) {
    const TemporaryFolder folder;
    ModelConfig config = config_of({"bert", Task::kEncoder});
    config.pooling = pooling;
    save_hugging_face(Model(config), folder.path());
    EXPECT_EQ(load_hugging_face(folder.path()).model->config().pooling, pooling);
  }
}

TEST(HuggingFaceFiles, NameWhatIsWrongWithConfigJson) {
  const TemporaryFolder folder;
  save_hugging_face(Model(config_of({"nystromformer", Task::kClassification})), folder.path());
  const auto path = folder.path() / "config.json";
  const Json good = parse_json(read_file(path), "config.json");
  const auto load_changed = [&](const std::string& key, const Json& value) {
    Json json = good;
    if (value.is_discarded()) {
      json.erase(key);
    } else {
      json[key] = value;
    }
    replace_file(path, json.dump());
    return [&] { load_hugging_face(folder.path()); };
  };
  const Json absent = Json::value_t::discarded;
  const auto error = [](const std::string& fact) {
    return ThrowsMessage<Error>(AllOf(HasSubstr("config.json"), HasSubstr(fact)));
  };
  EXPECT_THAT(load_changed("model_type", absent), error("\"model_type\" is missing"));
  EXPECT_THAT(load_changed("model_type", "gpt2"), error("model_type = \"gpt2\""));
  EXPECT_THAT(load_changed("model_type", 7), error("model_type = 7"));
  EXPECT_THAT(load_changed("hidden_size", absent), error("\"hidden_size\" is missing"));
  EXPECT_THAT(load_changed("hidden_size", "wide"), error("hidden_size = \"wide\""));
  EXPECT_THAT(load_changed("hidden_size", -3), error("hidden_size = -3"));
  EXPECT_THAT(load_changed("num_attention_heads", 5), error("heads = 5 does not divide"));
  EXPECT_THAT(load_changed("vocab_size", 999'999'999), error("its sizes make"));
  EXPECT_THAT(load_changed("hidden_act", "swish"), error("hidden_act = \"swish\""));
  EXPECT_THAT(load_changed("architectures", {"NystromformerForDreaming"}), error("ForDreaming"));
  EXPECT_THAT(load_changed("position_embedding_type", "relative_key"), error("relative_key"));
  EXPECT_THAT(load_changed("is_decoder", true), error("is_decoder"));
  EXPECT_THAT(load_changed("pruned_heads", {{"0", {1}}}), error("pruned_heads"));
  EXPECT_THAT(load_changed("conv_kernel_size", 4), error("conv = 4"));
  EXPECT_THAT(load_changed("segment_means_seq_len", 13), error("segment_length = 13"));
  EXPECT_THAT(load_changed("id2label", {{"0", "a"}, {"2", "c"}}), error("names class 2 and not 1"));
  EXPECT_THAT(load_changed("id2label", {{"first", "a"}}), error("id2label"));
  EXPECT_THAT(load_changed("pad_token_id", 40), error("padding_token = 40"));
  // What says how to train or to generate is nobody's business here.
  EXPECT_NO_THROW(load_changed("use_cache", {1, 2})());
  EXPECT_NO_THROW(load_changed("bos_token_id", Json())());
  replace_file(path, good.dump().substr(0, 60));
  EXPECT_THAT([&] { load_hugging_face(folder.path()); }, error("not JSON"));
}

TEST(HuggingFaceFiles, RefuseAModelThatTransformersHasNotAndSayWhy) {
  const TemporaryFolder folder;
  const auto save_changed = [&](const std::function<void(ModelConfig&)>& change) {
    ModelConfig config = config_of({"bert", Task::kClassification});
    change(config);
    const auto model = std::make_shared<Model>(config);
    return [&folder, model] { save_hugging_face(*model, folder.path()); };
  };
  const auto error = [](const std::string& fact) { return ThrowsMessage<Error>(HasSubstr(fact)); };
  EXPECT_THAT(save_changed([](ModelConfig& c) { c.norm = nn::NormPosition::kPre; }),
              error("norm = post"));
  EXPECT_THAT(save_changed([](ModelConfig& c) { c.embeddings.norm = false; }), error("embeddings"));
  EXPECT_THAT(save_changed([](ModelConfig& c) { c.pooling = Pooling::kMean; }), error("first row"));
  EXPECT_THAT(save_changed([](ModelConfig& c) {
                c.attention = {LinformerOptions{.projected = 4, .max_length = 24}};
              }),
              error("Linformer"));
  EXPECT_THAT(save_changed([](ModelConfig& c) {
                c.attention = {ExactOptions{}, NystromOptions{.landmarks = 4}};
              }),
              error("layers must have one kind"));
  EXPECT_THAT(save_changed([](ModelConfig& c) { c.task = Task::kRetrieval; }),
              error("compares two sequences"));
  EXPECT_THAT(save_changed([](ModelConfig& c) { c.head_width = 5; }), error("head_width"));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "config.json"));
}

// A converted BERT: positions start at 0 here and at 2 there.
TEST(HuggingFaceFiles, MoveThePositionsOfANystromModelWhereTransformersWantsThem) {
  const TemporaryFolder folder;
  ModelConfig config = config_of({"bert", Task::kEncoder});
  config.attention = {NystromOptions{.landmarks = 4}};
  Model model(config);
  const std::vector<std::string> notes = save_hugging_face(model, folder.path());
  ASSERT_EQ(notes.size(), 2U);
  EXPECT_THAT(notes[0], HasSubstr("sequences of exactly 24 tokens"));
  EXPECT_THAT(notes[1], HasSubstr("no pooler"));
  model.eval();
  const Inputs inputs = {at::arange(20), at::tensor({0, 9, 20}, at::kLong), {}};
  const std::shared_ptr<Model> loaded = load_hugging_face(folder.path(), true).model;
  EXPECT_TRUE(at::equal(model.encode(inputs).x, loaded->encode(inputs).x));
}

// Everything that transformers recorded goes through both formats without losing a bit.
TEST(HuggingFaceFiles, OfTransformersComeBackAsTheyWere) {
  LOWRANK_NEEDS_GOLDEN();
  for (const auto& test_case : testing::golden_models()) {
    const auto source = testing::golden_folder() / test_case.at("dir").get<std::string>();
    const TemporaryFolder own, theirs;
    save_model(*load_hugging_face(source).model, own.path());
    save_hugging_face(*load_model(own.path()), theirs.path());
    std::map<std::string, at::Tensor> before, after;
    for (const auto& [name, tensor] : io::load_tensors(source).tensors) before[name] = tensor;
    for (const auto& [name, tensor] : io::load_tensors(theirs.path()).tensors) after[name] = tensor;
    for (const auto& [name, tensor] : after) {
      ASSERT_TRUE(before.count(name)) << name;
      EXPECT_TRUE(at::equal(before[name], tensor)) << name;
      before.erase(name);
    }
    for (const auto& [name, tensor] : before) {
      EXPECT_TRUE(name.ends_with("_ids") || name.find(".decoder.") != std::string::npos)
          << test_case.at("id") << " " << name << " was lost";
    }
  }
}

}  // namespace
}  // namespace lowrank::models
