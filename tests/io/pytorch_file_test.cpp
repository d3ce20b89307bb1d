// SPDX-License-Identifier: Apache-2.0
// Files that torch.save itself wrote are read in tests/python/checkpoints_test.py; here are those that it would not write.
#include "lowrank/io/pytorch_file.h"

#include <ATen/ATen.h>
#include <caffe2/serialize/inline_container.h>
#include <gmock/gmock.h>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"
#include "tests/support/pickle_bytes.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::io {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::pickled_call;
using testing::pickled_dict;
using testing::pickled_global;
using testing::pickled_int;
using testing::pickled_ints;
using testing::pickled_list;
using testing::pickled_storage;
using testing::pickled_tensor;
using testing::pickled_text;
using testing::pickled_tuple;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

using Records = std::vector<std::pair<std::string, std::string>>;

std::string zip_with(const Records& records) {
  std::string bytes;
  caffe2::serialize::PyTorchStreamWriter writer([&](const void* data, size_t size) {
    bytes.append(static_cast<const char*>(data), size);
    return size;
  });
  for (const auto& [name, content] : records) {
    writer.writeRecord(name, content.data(), content.size());
  }
  writer.writeEndOfFile();
  return bytes;
}

// A content of the pickled value, and a storage "0" of six floats, 0 to 5.
std::string file_with(const std::string& value) {
  const at::Tensor numbers = at::arange(6, at::kFloat);
  const std::string storage(static_cast<const char*>(numbers.const_data_ptr()), numbers.nbytes());
  return zip_with({{"data.pkl", testing::pickle(value)}, {"data/0", storage}});
}

const std::string kSix = pickled_storage("FloatStorage", "0", 6);

StateDict read(const std::string& file) {
  return PytorchFile(std::as_bytes(std::span(file)), "some.pt").state_dict();
}

void expect_refused(const std::string& file, const std::string& reason) {
  EXPECT_THAT([&] { read(file); },
              ThrowsMessage<Error>(AllOf(HasSubstr("some.pt: "), HasSubstr(reason))));
}

void expect_tensor_refused(const std::string& tensor, const std::string& reason) {
  expect_refused(file_with(pickled_dict({pickled_text("w"), tensor})), "tensor \"w\" " + reason);
}

TEST(PytorchFileTest, ReadsTensorsThatShareAStorage) {
  const std::string file =
      file_with(pickled_dict({pickled_text("a"), pickled_tensor(kSix, 0, {2, 3}, {3, 1}),
                              pickled_text("b"), pickled_tensor(kSix, 1, {2, 2}, {1, 3})}));
  const StateDict dict = read(file);
  ASSERT_EQ(dict.tensors.size(), 2u);
  const at::Tensor& a = dict.tensors[0].second;
  EXPECT_TRUE(at::equal(a, at::arange(6, at::kFloat).reshape({2, 3})));
  EXPECT_TRUE(a.is_alias_of(dict.tensors[1].second));
}

TEST(PytorchFileTest, ReadsOtherWaysToMakeATensor) {
  const std::string sizes = pickled_ints({6}), strides = pickled_ints({1});
  const std::string tensor = pickled_tensor(kSix, 0, {6}, {1});
  for (const std::string& made :
       {pickled_call("torch._utils", "_rebuild_tensor", {kSix, pickled_int(0), sizes, strides}),
        pickled_call("torch._utils", "_rebuild_parameter", {tensor, "\x88", "N"}),
        pickled_call("torch._utils", "_rebuild_tensor_v3",
                     {pickled_storage("UntypedStorage", "0", 24), pickled_int(0), sizes, strides,
                      "\x89", "N", pickled_global("torch", "float32")}),
        pickled_call("torch._tensor", "_rebuild_from_type_v2",
                     {pickled_global("torch._utils", "_rebuild_tensor_v2"),
                      pickled_global("torch", "Tensor"),
                      pickled_tuple({kSix, pickled_int(0), sizes, strides, "\x89", "N"}), "}"}),
        pickled_call("torch._utils", "_rebuild_tensor_v2",
                     {kSix, pickled_int(0), pickled_call("torch", "Size", {sizes}), strides, "\x89",
                      "N"})}) {
    const StateDict dict = read(file_with(pickled_dict({pickled_text("w"), made})));
    ASSERT_EQ(dict.tensors.size(), 1u);
    EXPECT_TRUE(at::equal(dict.tensors[0].second, at::arange(6, at::kFloat)));
  }
}

TEST(PytorchFileTest, TakesTheDictThatIsAskedFor) {
  const std::string tensor = pickled_tensor(kSix, 0, {6}, {1});
  const std::string file = file_with(pickled_dict(
      {pickled_text("model"), pickled_dict({pickled_text("a"), tensor}), pickled_text("ema"),
       pickled_dict({pickled_text("b"), tensor, pickled_text("n"), "N"}), pickled_text("step"),
       "K\x07"}));
  const PytorchFile opened(std::as_bytes(std::span(file)), "some.pt");
  EXPECT_EQ(opened.state_dict().root, "model");
  EXPECT_THAT(opened.state_dict().left_out, ElementsAre("ema: dict of 2", "step: int 7"));
  const StateDict ema = opened.state_dict("ema");
  EXPECT_EQ(ema.tensors[0].first, "b");
  EXPECT_THAT(ema.left_out, ElementsAre("model: dict of 1", "step: int 7", "n: None"));
  const StateDict whole = opened.state_dict("");
  EXPECT_EQ(whole.tensors[0].first, "model.a");
  EXPECT_EQ(whole.tensors[1].first, "ema.b");
  EXPECT_THAT(
      [&] { opened.state_dict("gone"); },
      ThrowsMessage<Error>(HasSubstr("it has no \"gone\"; it holds \"model\", \"ema\", \"step\"")));
  EXPECT_THAT([&] { opened.state_dict("step"); },
              ThrowsMessage<Error>(HasSubstr("\"step\" is no dict but int 7")));
}

TEST(PytorchFileTest, RefusesATensorOutsideItsStorage) {
  const auto refused = [](int32_t offset, const std::vector<int32_t>& sizes,
                          const std::vector<int32_t>& strides) {
    expect_tensor_refused(pickled_tensor(kSix, offset, sizes, strides), "of sizes [");
  };
  refused(0, {7}, {1});
  refused(1, {6}, {1});
  refused(7, {0}, {1});
  refused(-1, {1}, {1});
  refused(0, {2, 3}, {4, 1});
  refused(0, {2}, {1, 1});
  refused(0, {1 << 30, 1 << 30}, {1 << 30, 1});
  refused(0, {1 << 30, 1 << 30, 1 << 30}, {0, 0, 0});
  for (const auto& numbers : {pickled_ints({-1}), pickled_tuple({"N"})}) {
    expect_tensor_refused(pickled_call("torch._utils", "_rebuild_tensor_v2",
                                       {kSix, pickled_int(0), numbers, numbers, "\x89", "N"}),
                          "has a size or stride that is no whole number");
  }
}

TEST(PytorchFileTest, RefusesAStorageThatIsNotAsDescribed) {
  const auto refused = [](const std::string& storage, const std::string& reason) {
    expect_tensor_refused(pickled_tensor(storage, 0, {1}, {1}), reason);
  };
  refused(pickled_storage("FloatStorage", "1", 6), "is in storage \"1\", which the file lacks");
  refused(pickled_storage("FloatStorage", "0", 5), "is in storage \"0\" of 20 bytes, which has 24");
  refused(pickled_storage("DoubleStorage", "0", 6),
          "is in storage \"0\" of 48 bytes, which has 24");
  refused(pickled_storage("FloatStorage", "0", -1), "has a storage of -1 elements");
  refused(pickled_storage("QInt8Storage", "0", 24),
          "has a torch.QInt8Storage, which cannot be read");
  refused(pickled_tuple({pickled_text("module")}) + "Q",
          "has a storage that is not described as torch.save does");
  refused("NQ", "has a storage that is not described as torch.save does");
  expect_tensor_refused(pickled_tensor(pickled_storage("BoolStorage", "0", 24), 0, {24}, {1}),
                        "is of booleans and holds 128");
}

TEST(PytorchFileTest, RefusesACallWithWrongArguments) {
  for (const char* name :
       {"_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_tensor_v3", "_rebuild_parameter"}) {
    expect_tensor_refused(pickled_call("torch._utils", name, {}),
                          "is made by torch._utils." + std::string(name));
    expect_tensor_refused(
        pickled_call("torch._utils", name, {"N", "N", "N", "N", "N", "N", "N", "N"}),
        "is made by torch._utils.");
  }
  expect_tensor_refused(pickled_call("torch._utils", "_rebuild_sparse_tensor", {}),
                        "is made by torch._utils._rebuild_sparse_tensor; only dense tensors");
  std::string wrapped = pickled_tensor(kSix, 0, {6}, {1});
  for (int i = 0; i < 6; ++i)
    wrapped = pickled_call("torch._utils", "_rebuild_parameter", {wrapped});
  expect_tensor_refused(wrapped, "is wrapped in too many parameters");
}

TEST(PytorchFileTest, RefusesDictsInCirclesAndWithoutEnd) {
  expect_refused(file_with("}q\x01" + pickled_text("a") + "h\x01s"), "nested too deeply");
  // Each list holds the one before it twice.
  std::string doubled = pickled_list({"N"}) + "q\x01";
  for (int i = 0; i < 30; ++i) doubled += "0" + pickled_list({"h\x01", "h\x01"}) + "q\x01";
  expect_refused(file_with("}" + pickled_text("a") + doubled + "s"),
                 "holds more than 1000000 values");
}

TEST(PytorchFileTest, RefusesWhatIsNoCheckpoint) {
  expect_refused("", "it is no file of torch.save");
  expect_refused("{\"a\": 1}", "it is no file of torch.save");
  expect_refused("PK\x03\x04", "its zip archive cannot be read");
  expect_refused(zip_with({{"other", "x"}}), "has no data.pkl");
  expect_refused(zip_with({{"data.pkl", testing::pickle("}")}, {"constants.pkl", "x"}}),
                 "TorchScript");
  expect_refused(zip_with({{"data.pkl", testing::pickle("}")}, {"byteorder", "big"}}),
                 "not little-endian");
  expect_refused(file_with("}"), "it holds no tensor");
  expect_refused(file_with("K\x07"), "its content is no dict but int 7");
  expect_refused(file_with(pickled_call("posix", "system", {pickled_text("true")})),
                 "its pickle asks for \"posix.system\"");
}

TEST(PytorchFileTest, RefusesAZipArchiveCutAnywhere) {
  const std::string whole =
      file_with(pickled_dict({pickled_text("w"), pickled_tensor(kSix, 0, {6}, {1})}));
  EXPECT_EQ(read(whole).tensors.size(), 1u);
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(read(whole.substr(0, size)), Error) << size << " bytes";
  }
}

TEST(PytorchFileTest, RefusesAnOlderFileCutAnywhere) {
  const std::string storage =
      pickled_tuple({pickled_text("storage"), pickled_global("torch", "FloatStorage"),
                     pickled_text("0"), pickled_text("cpu"), pickled_int(2), "N"}) +
      "Q";
  const std::string whole = testing::older_torch_file(
      pickled_dict({pickled_text("w"), pickled_tensor(storage, 0, {2}, {1})}),
      std::string("\0\0\x80\x3f\0\0\0\x40", 8), 2);
  EXPECT_TRUE(at::equal(read(whole).tensors.at(0).second, at::tensor({1.f, 2.f})));
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(read(whole.substr(0, size)), Error) << size << " bytes";
  }
  std::string longer = whole;
  longer.replace(whole.size() - 16, 8, testing::little_endian(int64_t{-1}));
  expect_refused(longer, "ends before the last of its storages");
}

TEST(PytorchFileTest, ReturnsTensorsThatOutliveTheFile) {
  const TemporaryFolder folder;
  const std::string path = folder.write(
      "some.pt", file_with(pickled_dict({pickled_text("w"), pickled_tensor(kSix, 0, {6}, {1})})));
  const at::Tensor got = PytorchFile(path).state_dict().tensors.at(0).second;
  fs::remove(path);
  EXPECT_TRUE(at::equal(got, at::arange(6, at::kFloat)));
}

}  // namespace
}  // namespace lowrank::io
