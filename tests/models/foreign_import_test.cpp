// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/foreign_import.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/temporary_folder.h"

namespace lowrank::models {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

// Writes a module's state_dict under a prefix and returns the path.
std::filesystem::path save_module(const testing::TemporaryFolder& folder,
                                  const ForeignOptions& options, const std::string& prefix = "") {
  const ForeignModel model = make_foreign(options);
  io::NamedTensors tensors;
  for (const auto& parameter : model.module->named_parameters()) {
    tensors.emplace_back(prefix + parameter.key(), parameter.value().detach());
  }
  const std::filesystem::path path = folder.path() / "model.safetensors";
  io::save_safetensors(path, tensors);
  return path;
}

// An encoder of mlpen's benchmark, without layers that differ from each other.
void save_mlpen(const testing::TemporaryFolder& folder) {
  constexpr int64_t c = 12, hidden = 20;
  io::NamedTensors tensors = {{"model.embeddings.word_embeddings.weight", at::randn({30, c})},
                              {"model.embeddings.position_embeddings.weight", at::randn({16, c})},
                              {"model.norm.weight", at::randn({c})},
                              {"model.norm.bias", at::randn({c})}};
  const auto linear = [&](const std::string& name, int64_t out, int64_t in) {
    tensors.emplace_back("model.transformer." + name + ".weight",
                         in == 0 ? at::randn({out}) : at::randn({out, in}));
    tensors.emplace_back("model.transformer." + name + ".bias", at::randn({out}));
  };
  for (const char* norm : {"norm1", "norm2"}) linear(norm, c, 0);
  for (const char* part : {"mha.W_q", "mha.W_k", "mha.W_v", "mha.ff"}) linear(part, c, c);
  linear("mlpblock.0", hidden, c);
  linear("mlpblock.3", c, hidden);
  io::save_safetensors(folder.path() / "model.safetensors", tensors);
}

TEST(ForeignImport, AModuleIsReadFromAFileOrItsFolder) {
  const testing::TemporaryFolder folder;
  const transmil::Options options{.features = 9, .width = 16, .classes = 3};
  const std::filesystem::path file = save_module(folder, options, "module.");
  for (const std::filesystem::path& path : {file, folder.path()}) {
    const auto imported = import_checkpoint(path);
    ASSERT_TRUE(imported);
    EXPECT_EQ(imported->format, ForeignFormat::kTransmil);
    EXPECT_EQ(std::get<ForeignModel>(imported->content).options, ForeignOptions(options));
  }
}

TEST(ForeignImport, AModuleHasNoFixedForm) {
  const testing::TemporaryFolder folder;
  save_module(folder, transmil::Options{.features = 9, .width = 16, .classes = 3});
  EXPECT_THAT([&] { import_checkpoint(folder.path(), {}, true); },
              ThrowsMessage<Error>(HasSubstr("a module of TransMIL has no function but its own")));
}

TEST(ForeignImport, MlpensConfigurationGivesWhatTheTensorsDoNot) {
  const testing::TemporaryFolder folder;
  save_mlpen(folder);
  EXPECT_THAT([&] { import_checkpoint(folder.path()); },
              ThrowsMessage<Error>(HasSubstr("layers is not to be seen")));
  folder.write("config.json",
               R"({"model": {"num_head": 3, "num_layers": 2, "attn_type": "nystrom-4",
                                            "num_landmarks": 4, "max_seq_len": 16}})");
  const auto imported = import_checkpoint(folder.path(), {.heads = 2});
  ASSERT_TRUE(imported);
  const NativeCheckpoint& encoder = std::get<NativeCheckpoint>(imported->content);
  EXPECT_EQ(encoder.model.at("heads"), 2);  // what is given wins
  EXPECT_EQ(encoder.model.at("layers"), 2);
  EXPECT_EQ(encoder.model.at("attention").at("landmarks"), 4);
  EXPECT_EQ(encoder.model.at("compat").at("segment_length"), 16);
}

TEST(ForeignImport, OtherCheckpointsAreNobodys) {
  const testing::TemporaryFolder folder;
  io::save_safetensors(folder.path() / "model.safetensors", {{"layer.weight", at::zeros({2, 2})}});
  EXPECT_FALSE(import_checkpoint(folder.path()));
}

}  // namespace
}  // namespace lowrank::models
