// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/safetensors.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <gmock/gmock.h>

#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::io {
namespace {

namespace fs = std::filesystem;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Pair;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

std::string file_with(uint64_t length, const std::string& header, const std::string& data) {
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + header + data;
}

std::string file_with(const std::string& header, const std::string& data) {
  return file_with(header.size(), header, data);
}

class Safetensors : public ::testing::Test {
 protected:
  fs::path path() const { return folder_.path() / "some.safetensors"; }

  NamedTensors round_trip(const NamedTensors& tensors) const {
    save_safetensors(path(), tensors);
    return load_safetensors(path());
  }

  NamedTensors load(const std::string& content) const {
    return read_safetensors(std::as_bytes(std::span(content)), path().string());
  }

  void expect_refused(const std::string& content, const std::string& reason) const {
    EXPECT_THAT([&] { load(content); }, ThrowsMessage<Error>(::testing::AllOf(
                                            HasSubstr("some.safetensors: "), HasSubstr(reason))));
  }

  // A file with one tensor "w" of the given description and 8 bytes of data.
  void expect_tensor_refused(const std::string& description, const std::string& reason) const {
    expect_refused(file_with("{\"w\":" + description + "}", std::string(8, '\0')),
                   "tensor \"w\" " + reason);
  }

 private:
  TemporaryFolder folder_;
};

using SafetensorsReader = Safetensors;
using SafetensorsWriter = Safetensors;

TEST_F(Safetensors, ReturnsWhatWasSavedInEveryDtype) {
  const at::Tensor values = at::arange(6).reshape({2, 3}) % 2;
  for (const at::ScalarType dtype :
       {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kFloat8_e4m3fn, at::kFloat8_e5m2,
        at::kFloat8_e4m3fnuz, at::kFloat8_e5m2fnuz, at::kFloat8_e8m0fnu, at::kComplexFloat,
        at::kLong, at::kInt, at::kShort, at::kChar, at::kUInt64, at::kUInt32, at::kUInt16,
        at::kByte, at::kBool}) {
    const at::Tensor saved = values.to(dtype);
    const NamedTensors loaded = round_trip({{"w", saved}});
    ASSERT_EQ(loaded.size(), 1u);
    const at::Tensor& got = loaded[0].second;
    EXPECT_EQ(got.scalar_type(), dtype);
    EXPECT_EQ(got.sizes(), saved.sizes());
    EXPECT_EQ(std::memcmp(got.const_data_ptr(), saved.const_data_ptr(), saved.nbytes()), 0);
  }
}

TEST_F(Safetensors, KeepsEveryBitOfAFloat) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const at::Tensor saved = at::tensor({nan, -0.0, 5e-324, 1.7e308, -INFINITY}, at::kDouble);
  const at::Tensor got = round_trip({{"w", saved}})[0].second;
  EXPECT_EQ(std::memcmp(got.const_data_ptr(), saved.const_data_ptr(), saved.nbytes()), 0);
}

TEST_F(Safetensors, SavesViewsByTheirValues) {
  const at::Tensor base = at::arange(24, at::kFloat).reshape({4, 6});
  for (const at::Tensor& view :
       {base.t(), base.slice(1, 1, 6, 2), base.select(0, 2), base.unsqueeze(0).expand({3, 4, 6})}) {
    const at::Tensor got = round_trip({{"w", view}})[0].second;
    EXPECT_TRUE(at::equal(got, view));
    EXPECT_TRUE(got.is_contiguous());
  }
}

TEST_F(Safetensors, KeepsScalarsAndTensorsWithoutElements) {
  const NamedTensors loaded = round_trip({{"empty", at::empty({0, 3}, at::kFloat)},
                                          {"other", at::empty({2, 0}, at::kFloat)},
                                          {"scalar", at::scalar_tensor(2.5, at::kFloat)}});
  ASSERT_EQ(loaded.size(), 3u);
  EXPECT_THAT(loaded[0].second.sizes(), ElementsAre(0, 3));
  EXPECT_THAT(loaded[1].second.sizes(), ElementsAre(2, 0));
  EXPECT_EQ(loaded[2].second.dim(), 0);
  EXPECT_EQ(loaded[2].second.item<float>(), 2.5f);
}

TEST_F(Safetensors, KeepsMetadataAndAnyUnicodeName) {
  const std::string name = "layer \"\\\n\xc3\xa9\xf0\x9f\x99\x82";
  save_safetensors(path(), {{name, at::ones({1})}}, {{"format", "pt"}, {name, ""}});
  EXPECT_THAT(load_safetensors_metadata(path()), ElementsAre(Pair("format", "pt"), Pair(name, "")));
  EXPECT_EQ(load_safetensors(path())[0].first, name);
}

TEST_F(Safetensors, MayHoldNoTensor) {
  EXPECT_THAT(round_trip({}), IsEmpty());
  EXPECT_THAT(load_safetensors_metadata(path()), IsEmpty());
}

TEST_F(SafetensorsWriter, WritesTheDocumentedBytes) {
  save_safetensors(path(),
                   {{"b", at::tensor({1, 2}, at::kByte)}, {"a", at::tensor({1.5}, at::kFloat)}},
                   {{"k", "v"}});
  const std::string header =
      R"({"__metadata__":{"k":"v"},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
      R"("b":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})";
  const std::string padding((8 - header.size() % 8) % 8, ' ');
  EXPECT_EQ(read_file(path()), file_with(header + padding, std::string("\0\0\xc0\x3f\x01\x02", 6)));
}

TEST_F(SafetensorsWriter, BeginsEachTensorAtAMultipleOfItsElement) {
  const NamedTensors loaded = round_trip({{"bytes", at::ones({3}, at::kByte)},
                                          {"halves", at::ones({3}, at::kHalf)},
                                          {"floats", at::ones({3}, at::kFloat)},
                                          {"doubles", at::ones({3}, at::kDouble)}});
  size_t position = 0;
  for (const auto& [name, tensor] : loaded) {
    EXPECT_EQ(position % tensor.element_size(), 0u) << name;
    position += tensor.nbytes();
  }
  EXPECT_EQ((fs::file_size(path()) - position) % 8, 0u) << "where the data begins";
}

TEST_F(SafetensorsWriter, RefusesWhatTheFormatCannotHold) {
  const auto expect_refused_tensors = [&](const NamedTensors& tensors, const char* reason) {
    EXPECT_THAT([&] { save_safetensors(path(), tensors); },
                ThrowsMessage<Error>(HasSubstr(reason)));
  };
  const at::Tensor one = at::ones({1});
  expect_refused_tensors({{"a", one}, {"a", one}}, "tensor \"a\" is given twice");
  expect_refused_tensors({{"__metadata__", one}}, "kept for metadata");
  expect_refused_tensors({{"a", at::Tensor()}}, "tensor \"a\" is undefined");
  expect_refused_tensors({{"a", one.to_sparse()}}, "not dense");
  expect_refused_tensors({{"a", at::ones({1}, at::kComplexDouble)}}, "is of type ComplexDouble");
  expect_refused_tensors({{"\xff", one}}, "not UTF-8");
  EXPECT_FALSE(fs::exists(path()));
}

TEST_F(SafetensorsReader, TakesTensorsInAnyOrderOfTheHeader) {
  const NamedTensors loaded =
      load(file_with(R"({"b":{"dtype":"U8","shape":[1],"data_offsets":[1,2]},)"
                     R"("a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}   )",
                     "\x05\x06"));
  ASSERT_EQ(loaded.size(), 2u);
  EXPECT_EQ(loaded[0].second.item<int>(), 5);
  EXPECT_EQ(loaded[1].second.item<int>(), 6);
}

TEST_F(SafetensorsReader, ReturnsTensorsThatOutliveTheFile) {
  save_safetensors(path(), {{"w", at::ones({4})}});
  const at::Tensor got = load_safetensors(path())[0].second;
  replace_file(path(), "");
  EXPECT_TRUE(at::equal(got, at::ones({4})));
}

TEST_F(SafetensorsReader, RefusesAFileThatIsNotThere) {
  EXPECT_THAT([&] { load_safetensors(path()); },
              ThrowsMessage<Error>(HasSubstr("some.safetensors: cannot be opened")));
  EXPECT_THROW(load_safetensors(path().parent_path()), Error);
}

TEST_F(SafetensorsReader, RefusesAWrongHeaderLength) {
  expect_refused(file_with(0, "{}", ""), "its header has 0 bytes; it must be 2 to");
  expect_refused(file_with(1, "{}", ""), "its header has 1 bytes");
  expect_refused(file_with(7, "{}", ""), "ends at byte 15, past the end of the file at 10");
  expect_refused(file_with(uint64_t{1} << 63, "{}", ""),
                 "its header has 9223372036854775808 bytes");
  expect_refused(file_with(~uint64_t{0}, "{}", ""), "its header has 18446744073709551615 bytes");
  expect_refused("PK\x03\x04 some other file", "may not be a safetensors file");
}

TEST_F(SafetensorsReader, RefusesAFileCutAnywhere) {
  save_safetensors(path(), {{"a", at::ones({2, 2})}, {"b", at::ones({3}, at::kBool)}},
                   {{"format", "pt"}});
  const std::string whole = read_file(path());
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(load(whole.substr(0, size)), Error) << size << " bytes";
  }
  expect_refused(whole + "x", "must cover it");
  EXPECT_EQ(load(whole).size(), 2u);
}

TEST_F(SafetensorsReader, RefusesALargerFileCutInItsFirstPagesAndAtEveryTensor) {
  NamedTensors tensors;
  for (int i = 0; i < 60; ++i) {
    const std::string name = fmt::format("encoder.layer.{}.weight", i);
    tensors.emplace_back(name, at::full({i % 7, 9}, i, i % 2 ? at::kFloat : at::kHalf));
  }
  save_safetensors(path(), tensors, {{"format", "pt"}});
  const std::string whole = read_file(path());
  const SafetensorsHeader header = load_safetensors_header(path());
  constexpr size_t kFirst = 4096;
  ASSERT_GT(whole.size(), kFirst);
  ASSERT_EQ(header.entries.size(), tensors.size());

  std::vector<size_t> sizes(kFirst);
  std::iota(sizes.begin(), sizes.end(), size_t{0});
  for (const SafetensorsEntry& entry : header.entries) {
    sizes.push_back(header.data_begin + entry.begin);
    sizes.push_back(header.data_begin + entry.end);
  }
  for (const size_t size : sizes) {
    if (size == whole.size()) continue;  // the end of the last
    EXPECT_THAT([&] { load(whole.substr(0, size)); },
                ThrowsMessage<Error>(HasSubstr("some.safetensors: ")))
        << size << " bytes";
  }
  EXPECT_EQ(load(whole).size(), tensors.size());
}

TEST_F(SafetensorsReader, ListsAHeaderWithoutTheData) {
  save_safetensors(path(), {{"a", at::ones({2, 3})}, {"b", at::ones({4}, at::kBool)}},
                   {{"k", "v"}});
  const SafetensorsHeader header = load_safetensors_header(path());
  EXPECT_THAT(header.metadata, ElementsAre(Pair("k", "v")));
  ASSERT_EQ(header.entries.size(), 2u);
  EXPECT_EQ(header.entries[0].dtype, "F32");
  EXPECT_THAT(header.entries[0].shape, ElementsAre(2, 3));
  EXPECT_EQ(header.entries[1].begin, 24u);
  EXPECT_EQ(header.data_begin + header.entries[1].end, fs::file_size(path()));
}

TEST_F(SafetensorsReader, ListsTypesThatLibTorchDoesNotHaveAndReadsNone) {
  for (const auto& [dtype, shape] :
       {std::pair{"F4", "[2,8]"}, {"F6_E2M3", "[4]"}, {"F6_E3M2", "[4]"}}) {
    const int bytes = std::string(dtype) == "F4" ? 8 : 3;
    const std::string file =
        file_with(fmt::format(R"({{"w":{{"dtype":"{}","shape":{},"data_offsets":[0,{}]}}}})", dtype,
                              shape, bytes),
                  std::string(static_cast<size_t>(bytes), '\0'));
    expect_refused(file,
                   fmt::format("tensor \"w\" is of type {}, which LibTorch does not have", dtype));
    const SafetensorsHeader header = read_safetensors_header(std::as_bytes(std::span(file)), "");
    EXPECT_EQ(header.entries.at(0).dtype, dtype);
  }
  expect_tensor_refused(R"({"dtype":"F4","shape":[15],"data_offsets":[0,8]})",
                        "of type F4 has a shape that ends within a byte");
}

TEST_F(SafetensorsReader, RefusesAHeaderThatIsNoObject) {
  expect_refused(file_with("[]", ""), "must be a JSON object; got []");
  expect_refused(file_with("17", ""), "must be a JSON object; got 17");
  expect_refused(file_with("{\"a", ""), "is not JSON");
  expect_refused(file_with("{\"a\": 1e999}", ""), "has a number too large to read");
  expect_refused(file_with("{} {}", ""), "is not JSON");
  expect_refused(file_with("{\"\xff\":1}", ""), "is not JSON");
  expect_refused(file_with(std::string(1'000'000, '['), ""), "nested too deeply");
}

TEST_F(SafetensorsReader, RefusesOneNameTwice) {
  const std::string w = R"("w":{"dtype":"U8","shape":[1],"data_offsets":[0,1]})";
  expect_refused(file_with("{" + w + "," + w + "}", "x"), "has \"w\" twice");
  expect_refused(
      file_with(R"({"w":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"shape":[1]}})", "x"),
      "has \"shape\" twice");
}

TEST_F(SafetensorsReader, RefusesMetadataThatIsNotText) {
  expect_refused(file_with(R"({"__metadata__":[]})", ""), "\"__metadata__\" must be an object");
  expect_refused(file_with(R"({"__metadata__":{"k":1}})", ""), "must hold strings; got 1");
}

TEST_F(SafetensorsReader, RefusesAWrongDescription) {
  expect_tensor_refused("3", "must be described by an object; got 3");
  expect_tensor_refused(R"({"shape":[8],"data_offsets":[0,8]})", "has no \"dtype\"");
  expect_tensor_refused(R"({"dtype":"U8","data_offsets":[0,8]})", "has no \"shape\"");
  expect_tensor_refused(R"({"dtype":"U8","shape":[8]})", "has no \"data_offsets\"");
  expect_tensor_refused(R"({"dtype":"U8","shape":[8],"data_offsets":[0,8],"stride":1})",
                        "has a key that the format does not know; got \"stride\"");
  for (const char* dtype : {"\"f32\"", "\"F33\"", "\"\"", "32", "null"}) {
    expect_tensor_refused(fmt::format(R"({{"dtype":{},"shape":[2],"data_offsets":[0,8]}})", dtype),
                          "has a dtype that is none of F64, F32");
  }
}

TEST_F(SafetensorsReader, RefusesAWrongShape) {
  for (const char* shape : {"[-1]", "[1.0]", "[\"2\"]", "2", "{}", "[18446744073709551615]",
                            "[9223372036854775808]", "[36893488147419103232]"}) {
    expect_tensor_refused(
        fmt::format(R"({{"dtype":"F32","shape":{},"data_offsets":[0,8]}})", shape),
        "needs a list of whole numbers from 0 as \"shape\"");
  }
  for (const char* shape : {"[9223372036854775807]", "[4294967296,4294967296]",
                            "[4611686018427387904,4]", "[0,4611686018427387904,4]"}) {
    expect_tensor_refused(
        fmt::format(R"({{"dtype":"F32","shape":{},"data_offsets":[0,8]}})", shape),
        "has a shape whose size is not a 64-bit number");
  }
  expect_tensor_refused(R"({"dtype":"F32","shape":[3],"data_offsets":[0,8]})",
                        "of type F32 and shape [3] takes 12 bytes; it has 8");
  expect_tensor_refused(R"({"dtype":"F32","shape":[0],"data_offsets":[0,8]})",
                        "of type F32 and shape [0] takes 0 bytes; it has 8");
}

TEST_F(SafetensorsReader, RefusesOffsetsOutsideTheData) {
  for (const char* offsets : {"[0]", "[0,4,8]", "[-4,4]", "[0.0,8.0]", "8", "[\"0\",\"8\"]"}) {
    expect_tensor_refused(
        fmt::format(R"({{"dtype":"F32","shape":[2],"data_offsets":{}}})", offsets),
        "needs two whole numbers");
  }
  expect_tensor_refused(R"({"dtype":"F32","shape":[2],"data_offsets":[8,0]})",
                        "ends before it begins; got [8,0]");
  expect_tensor_refused(R"({"dtype":"F32","shape":[3],"data_offsets":[0,12]})",
                        "ends at byte 12 of the data, past its end at 8");
  expect_tensor_refused(
      R"({"dtype":"F32","shape":[2],"data_offsets":[18446744073709551608,18446744073709551615]})",
      "ends at byte 18446744073709551615");
}

TEST_F(SafetensorsReader, RefusesGapsAndOverlaps) {
  const auto two = [](const char* first, const char* second) {
    return file_with(fmt::format(R"({{"a":{{"dtype":"U8","shape":[2],"data_offsets":{}}},)"
                                 R"("b":{{"dtype":"U8","shape":[2],"data_offsets":{}}}}})",
                                 first, second),
                     std::string(5, '\0'));
  };
  expect_refused(two("[0,2]", "[3,5]"), "tensor \"b\" begins at byte 3");
  expect_refused(two("[0,2]", "[1,3]"), "tensor \"b\" begins at byte 1");
  expect_refused(two("[0,2]", "[0,2]"), "tensor \"b\" begins at byte 0");
  expect_refused(two("[3,5]", "[1,3]"),
                 "tensor \"b\" begins at byte 1 of the data, where the header");
  expect_refused(two("[0,2]", "[2,4]"), "its tensors end at byte 4 of 5 bytes");
}

TEST_F(SafetensorsReader, RefusesABooleanThatIsNeitherZeroNorOne) {
  expect_refused(
      file_with(R"({"w":{"dtype":"BOOL","shape":[2],"data_offsets":[0,2]}})", "\x01\x02"),
      "tensor \"w\" is BOOL and holds 2");
}

TEST_F(SafetensorsReader, AnswersDamagedFilesWithAnError) {
  save_safetensors(path(), {{"a", at::ones({2, 3})}, {"b", at::ones({4}, at::kBool)}},
                   {{"format", "pt"}});
  const std::string whole = read_file(path());
  std::mt19937 random(1);
  int refused = 0;
  for (int round = 0; round < 5000; ++round) {
    std::string damaged = whole;
    for (auto changes = 1 + random() % 3; changes > 0; --changes) {
      const char byte =
          static_cast<char>(random() % 2 ? random() : "0123456789-.[]{},"[random() % 17]);
      damaged[random() % damaged.size()] = byte;
    }
    try {
      for (const auto& [name, tensor] : load(damaged)) EXPECT_LE(tensor.nbytes(), whole.size());
    } catch (const Error&) {
      ++refused;
    }
  }
  EXPECT_GT(refused, 2500);
}

TEST_F(SafetensorsReader, ReadsFilesThatOtherProgramsWrote) {
  const char* shared = std::getenv("LOWRANK_SHARED");
  const fs::path golden = fs::path(shared ? shared : "") / "golden";
  if (!fs::exists(golden)) GTEST_SKIP() << "LOWRANK_SHARED names no folder with golden/.";
  size_t files = 0;
  for (const auto& entry : fs::recursive_directory_iterator(golden)) {
    if (entry.path().extension() != ".safetensors") continue;
    EXPECT_NO_THROW(load_safetensors(entry.path())) << entry.path();
    ++files;
  }
  EXPECT_GT(files, 100u);
}

}  // namespace
}  // namespace lowrank::io
