// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/shards.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"
#include "lowrank/io/load_tensors.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::io {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

class Shards : public ::testing::Test {
 protected:
  const fs::path& folder() const { return folder_.path(); }
  fs::path index() const { return folder() / "model.safetensors.index.json"; }

  void write(const std::string& name, const NamedTensors& tensors) const {
    save_safetensors(folder() / name, tensors);
  }

  NamedTensors load(const std::string& weight_map) const {
    replace_file(index(), "{\"weight_map\": " + weight_map + "}");
    return load_tensors(folder()).tensors;
  }

  void expect_refused(const std::string& weight_map, const std::string& reason) const {
    EXPECT_THAT([&] { load(weight_map); },
                ThrowsMessage<Error>(AllOf(HasSubstr("index.json: "), HasSubstr(reason))));
  }

  void expect_index_refused(const std::string& content, const std::string& reason) const {
    replace_file(index(), content);
    EXPECT_THAT([&] { load_shard_index(index()); },
                ThrowsMessage<Error>(AllOf(HasSubstr("index.json: "), HasSubstr(reason))));
  }

  std::vector<std::string> files() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder()))
      names.push_back(entry.path().filename());
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  TemporaryFolder folder_;
};

const at::Tensor kOne = at::ones({1});

TEST_F(Shards, TogetherHoldAllTensors) {
  write("a.safetensors", {{"x", at::full({2}, 1)}, {"y", at::full({2}, 2)}});
  write("b.safetensors", {{"z", at::full({2}, 3)}});
  const NamedTensors loaded =
      load(R"({"z": "b.safetensors", "x": "a.safetensors", "y": "a.safetensors"})");
  ASSERT_EQ(loaded.size(), 3u);
  for (const auto& [name, tensor] : loaded) EXPECT_EQ(tensor[0].item<int>(), name[0] - 'x' + 1);
}

TEST_F(Shards, MayStandBesideOtherKeysOfTheIndex) {
  replace_file(index(), R"({"metadata": {"weight_map": {"n": 1}, "list": [1, {"a": null}]},)"
                        R"( "weight_map": {"x": "a.safetensors"}, "after": true})");
  EXPECT_THAT(load_shard_index(index()).shards(), ElementsAre("a.safetensors"));
}

TEST_F(Shards, AreRefusedWhereATensorIsNotWhereTheIndexSays) {
  write("a.safetensors", {{"x", kOne}});
  write("b.safetensors", {{"y", kOne}});
  write("both.safetensors", {{"x", kOne}, {"y", kOne}});
  expect_refused(
      R"({"x": "a.safetensors", "gone": "a.safetensors"})",
      "tensor \"gone\" is not in a.safetensors, where the weight_map says it is (1 such)");
  expect_refused(R"({"x": "b.safetensors", "y": "b.safetensors"})",
                 "tensor \"x\" is not in b.safeten");
  expect_refused(R"({"x": "a.safetensors", "y": "both.safetensors"})",
                 "tensor \"x\" is in both.safetensors, while the weight_map says a.safetensors");
  expect_refused(R"({"x": "both.safetensors"})", "tensor \"y\" of both.safetensors is not in its");
}

TEST_F(Shards, AreRefusedOutsideTheFolder) {
  write("a.safetensors", {{"x", kOne}});
  for (const char* name : {"../a.safetensors", "/etc/a.safetensors", "b/a.safetensors", "..", ".",
                           "", "a.safetensors\\u0000", "..\\\\a.safetensors"}) {
    expect_refused(std::string("{\"x\": \"") + name + "\"}", "must be a file in the same folder");
  }
  EXPECT_THAT([&] { load(R"({"x": "gone.safetensors"})"); },
              ThrowsMessage<Error>(HasSubstr("gone.safetensors: cannot be opened")));
  EXPECT_THAT([&] { load(R"({"x": "a.txt"})"); },
              ThrowsMessage<Error>(HasSubstr("its name does not say what it is")));
}

TEST_F(Shards, AreRefusedForADamagedIndex) {
  expect_index_refused("", "it is not JSON");
  expect_index_refused("{\"weight_map\": {\"a\": \"b\"", "it is not JSON");
  expect_index_refused("{\"n\": 1e999, \"weight_map\": {}}", "it is not JSON");
  expect_index_refused("[]", "it has no \"weight_map\"");
  expect_index_refused("{\"weight_map\": 3}", "it has no \"weight_map\"");
  expect_index_refused("[{\"weight_map\": {\"a\": \"b\"}}]", "it has no \"weight_map\"");
  expect_index_refused("{\"weight_map\": {}}", "names no tensor");
  expect_index_refused(R"({"weight_map": {"a": "b"}, "weight_map": {"a": "b"}})",
                       "\"weight_map\" twice");
  expect_index_refused(R"({"weight_map": {"a": "b", "a": "c"}})", "has \"a\" twice");
  for (const char* value : {"1", "-1", "1.5", "null", "true", "[]", "{}", "[\"b\"]"}) {
    expect_index_refused("{\"weight_map\": {\"a\": " + std::string(value) + "}}",
                         "gives \"a\" no file name");
  }
  expect_index_refused(std::string(1'000'000, '['), "nested too deeply");
  EXPECT_THAT([&] { load_shard_index(folder() / "gone.index.json"); },
              ThrowsMessage<Error>(HasSubstr("opened")));
}

TEST_F(Shards, AreWrittenOnlyWhereOneFileIsTooSmall) {
  const NamedTensors tensors = {{"a", at::full({3}, 1, at::kFloat)},
                                {"b", at::full({2}, 2, at::kFloat)},
                                {"c", at::full({9}, 3, at::kFloat)},
                                {"d", at::full({1}, 4, at::kFloat)}};
  save_shards(folder(), tensors, 20, {{"format", "pt"}});
  EXPECT_THAT(files(),
              ElementsAre("model-00001-of-00003.safetensors", "model-00002-of-00003.safetensors",
                          "model-00003-of-00003.safetensors", "model.safetensors.index.json"));
  EXPECT_THAT(load_safetensors_metadata(folder() / files()[0]),
              ElementsAre(::testing::Pair("format", "pt")));
  const NamedTensors loaded = load_tensors(folder()).tensors;
  ASSERT_EQ(loaded.size(), 4u);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_EQ(loaded[i].first, tensors[i].first);
    EXPECT_TRUE(at::equal(loaded[i].second, tensors[i].second));
  }
  EXPECT_THAT(read_file(index()), HasSubstr("\"total_size\": 60"));

  replace_file(folder() / "mine.safetensors", "");
  save_shards(folder(), tensors, 60);
  EXPECT_THAT(files(), ElementsAre("mine.safetensors", "model.safetensors"));
  save_shards(folder(), tensors, 40);
  EXPECT_THAT(files(),
              ElementsAre("mine.safetensors", "model-00001-of-00002.safetensors",
                          "model-00002-of-00002.safetensors", "model.safetensors.index.json"));
  EXPECT_EQ(load_tensors(folder()).tensors.size(), 4u);
}

TEST_F(Shards, AreNotWrittenOfATensorGivenTwice) {
  EXPECT_THAT(
      [&] {
        save_shards(folder(), {{"a", kOne}, {"a", kOne}}, 4);
      },
      ThrowsMessage<Error>(HasSubstr("tensor \"a\" is given twice")));
  EXPECT_THAT(
      [&] {
        save_shards(folder(), {{"a", at::Tensor()}}, 4);
      },
      ThrowsMessage<Error>(HasSubstr("tensor \"a\" is undefined")));
}

}  // namespace
}  // namespace lowrank::io
