// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/file.h"
#include "lowrank/io/safetensors.h"
#include "lowrank/models/model_directory.h"
#include "tests/support/attention_kinds.h"
#include "tests/support/small_config.h"
#include "tests/support/small_module.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::models {
namespace {

using lowrank::testing::small_config;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::ThrowsMessage;

void expect_same_bits(const Model& a, const Model& b) {
  const auto expected = a.named_parameters(), found = b.named_parameters();
  ASSERT_EQ(expected.size(), found.size());
  for (const auto& parameter : expected) {
    EXPECT_TRUE(at::equal(parameter.value(), found[parameter.key()])) << parameter.key();
    EXPECT_EQ(parameter->scalar_type(), found[parameter.key()].scalar_type());
  }
}

TEST(ModelDirectory, GivesBackTheSameBitsOfEveryKindAndTask) {
  for (const auto& [name, kind] : testing::attention_kinds()) {
    for (const Task task : {Task::kClassification, Task::kMaskedLanguageModel}) {
      const testing::TemporaryFolder folder;
      const Model model(small_config(kind, task));
      save_model(model, folder.path());
      const std::shared_ptr<Model> loaded = load_model(folder.path());
      expect_same_bits(model, *loaded);
      EXPECT_FALSE(loaded->is_training());
    }
  }
}

TEST(ModelDirectory, SaysWhichCommandsReadAModuleOfAnotherPackage) {
  const testing::TemporaryFolder folder;
  save_foreign(testing::small_module(transmil::Options{.features = 6, .width = 64}), folder.path());
  EXPECT_THAT([&] { load_model(folder.path()); },
              ThrowsMessage<Error>(
                  AllOf(HasSubstr("a module of another package"), HasSubstr("lowrank predict"))));
}

TEST(ModelDirectory, KeepsTheDtype) {
  for (const at::ScalarType dtype : {at::kBFloat16, at::kDouble}) {
    const testing::TemporaryFolder folder;
    Model model(small_config(NystromOptions{.conv = 5}));
    model.to(dtype);
    save_model(model, folder.path());
    expect_same_bits(model, *load_model(folder.path()));
  }
}

TEST(ModelDirectory, JudgesAsTheSavedModelDid) {
  const testing::TemporaryFolder folder;
  Model model(small_config(NystromOptions{.landmarks = 4, .conv = 5}));
  model.eval();
  save_model(model, folder.path());
  const Inputs inputs = {at::arange(20), at::tensor({0, 20}, at::kLong), {}};
  EXPECT_TRUE(at::equal(model.logits(inputs), load_model(folder.path())->logits(inputs)));
}

TEST(ModelDirectory, ListsEveryTensorThatDoesNotFitAtOnce) {
  const testing::TemporaryFolder folder;
  save_model(Model(small_config(ExactOptions{})), folder.path());
  const auto path = folder.path() / "model.safetensors";
  io::NamedTensors tensors;
  for (const auto& [name, tensor] : io::load_safetensors(path)) {
    if (name == "final_norm.bias") continue;
    tensors.emplace_back(name, name == "classifier.weight" ? at::zeros({3, 5}) : tensor);
  }
  tensors.emplace_back("surplus", at::zeros({1}));
  io::save_safetensors(path, tensors);
  EXPECT_THAT([&] { load_model(folder.path()); },
              ThrowsMessage<Error>(
                  AllOf(HasSubstr("model.safetensors: 3 of its tensors"),
                        HasSubstr("\"final_norm.bias\" is missing"),
                        HasSubstr("\"classifier.weight\" is Float [3, 5] instead of Float [3, 12]"),
                        HasSubstr("\"surplus\" is extra"), Not(HasSubstr("layers.0")))));
}

TEST(ModelDirectory, NamesWhatIsWrongWithConfigJson) {
  const testing::TemporaryFolder folder;
  save_model(Model(small_config(ExactOptions{})), folder.path());
  const auto path = folder.path() / "config.json";
  const Json good = parse_json(read_file(path), "config.json");
  const auto load_with = [&](const std::string& text) {
    replace_file(path, text);
    return [&] { load_model(folder.path()); };
  };
  const auto load_changed = [&](const std::string& pointer, const Json& value) {
    Json json = good;
    json[Json::json_pointer(pointer)] = value;
    return load_with(json.dump());
  };
  const auto error = [](const std::string& fact) {
    return ThrowsMessage<Error>(AllOf(HasSubstr("config.json"), HasSubstr(fact)));
  };
  EXPECT_THAT(load_with(good.dump().substr(0, 100)), error("not JSON"));
  EXPECT_THAT(load_with("[]"), error("table of keys"));
  EXPECT_THAT(load_with("{}"), error("\"format\" is missing"));
  EXPECT_THAT(load_changed("/format", "other"), error("format = \"other\""));
  EXPECT_THAT(load_changed("/version", 2), error("version = 2"));
  EXPECT_THAT(load_changed("/model/width", "wide"), error("model.width = \"wide\""));
  EXPECT_THAT(load_changed("/model/color", 1), error("\"model.color\" is not known"));
  EXPECT_THAT(load_changed("/model/heads", 5), error("heads = 5 does not divide width = 12"));
  EXPECT_THAT(load_changed("/model/width", 24), ThrowsMessage<Error>(HasSubstr("instead of")));
}

TEST(ModelDirectory, NamesTheFileThatIsNotThereOrIsCutShort) {
  const testing::TemporaryFolder folder;
  EXPECT_THAT([&] { load_model(folder.path()); }, ThrowsMessage<Error>(HasSubstr("config.json")));
  save_model(Model(small_config(ExactOptions{})), folder.path());
  const auto weights = folder.path() / "model.safetensors";
  const std::string bytes = read_file(weights);
  replace_file(weights, bytes.substr(0, bytes.size() / 2));
  EXPECT_THAT([&] { load_model(folder.path()); },
              ThrowsMessage<Error>(HasSubstr("model.safetensors")));
  std::filesystem::remove(weights);
  EXPECT_THAT([&] { load_model(folder.path()); },
              ThrowsMessage<Error>(HasSubstr("model.safetensors")));
}

}  // namespace
}  // namespace lowrank::models
