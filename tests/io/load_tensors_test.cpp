// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/load_tensors.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "lowrank/base/error.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::io {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

TEST(LoadTensors, TakesTheFirstKindThatAFolderHolds) {
  const TemporaryFolder folder;
  folder.write("pytorch_model.bin", "damaged");
  folder.write("model.safetensors.index.json", R"({"weight_map": {"x": "one.safetensors"}})");
  save_safetensors(folder.path() / "one.safetensors", {{"x", at::ones({2})}});
  EXPECT_EQ(load_tensors(folder.path()).path.filename(), "model.safetensors.index.json");
  save_safetensors(folder.path() / "model.safetensors", {{"y", at::ones({3})}});
  const LoadedTensors loaded = load_tensors(folder.path());
  EXPECT_EQ(loaded.path.filename(), "model.safetensors");
  ASSERT_EQ(loaded.tensors.size(), 1u);
  EXPECT_EQ(loaded.tensors[0].first, "y");
  std::filesystem::remove(folder.path() / "model.safetensors");
  std::filesystem::remove(folder.path() / "model.safetensors.index.json");
  EXPECT_THAT([&] { load_tensors(folder.path()); },
              ThrowsMessage<Error>(HasSubstr("pytorch_model.bin: it is no file of torch.save")));
}

TEST(LoadTensors, TakesAFileByWhatItsNameEndsIn) {
  const TemporaryFolder folder;
  save_safetensors(folder.path() / "any.safetensors", {{"x", at::ones({2})}});
  EXPECT_EQ(load_tensors(folder.path() / "any.safetensors").tensors.size(), 1u);
  for (const char* name : {"a.pt", "a.pth", "a.bin", "a.ckpt"}) {
    EXPECT_THAT([&] { load_tensors(folder.write(name, "")); },
                ThrowsMessage<Error>(HasSubstr("it is no file of torch.save")));
  }
}

TEST(LoadTensors, SaysWhatItLookedFor) {
  const TemporaryFolder folder;
  EXPECT_THAT([&] { load_tensors(folder.path()); },
              ThrowsMessage<Error>(
                  AllOf(HasSubstr("holds none of model.safetensors, model.safetensors.index.json, "
                                  "pytorch_model.bin, pytorch_model.bin.index.json"))));
  EXPECT_THAT(
      [&] { load_tensors(folder.write("a.txt", "")); },
      ThrowsMessage<Error>(HasSubstr("must end in .safetensors, .index.json or .bin, .pt, ")));
  EXPECT_THAT([&] { load_tensors(folder.path() / "gone.safetensors"); },
              ThrowsMessage<Error>(HasSubstr("gone.safetensors: cannot be opened")));
}

}  // namespace
}  // namespace lowrank::io
