// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/npy.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>

#include <cstring>
#include <random>

#include "lowrank/base/error.h"
#include "lowrank/base/file.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::io {
namespace {

namespace fs = std::filesystem;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using testing::TemporaryFolder;
using ::testing::ThrowsMessage;

std::string file_with(const std::string& header, const std::string& data) {
  const auto length = static_cast<uint16_t>(header.size());
  std::string file("\x93NUMPY\x01\x00", 8);
  file.append(reinterpret_cast<const char*>(&length), sizeof length);
  return file + header + data;
}

at::Tensor read(const std::string& content) {
  return read_npy(std::as_bytes(std::span(content)), "some.npy");
}

void expect_refused(const std::string& content, const std::string& reason) {
  EXPECT_THAT([&] { read(content); },
              ThrowsMessage<Error>(AllOf(HasSubstr("some.npy: "), HasSubstr(reason))));
}

// A header of the given entries with 8 bytes of data.
void expect_header_refused(const std::string& header, const std::string& reason) {
  expect_refused(file_with(header, std::string(8, '\0')), reason);
}

class Npy : public ::testing::Test {
 protected:
  fs::path path() const { return folder_.path() / "some.npy"; }

 private:
  TemporaryFolder folder_;
};

using NpyWriting = Npy;
using NpyReading = Npy;

TEST_F(NpyWriting, WritesTheDocumentedBytes) {
  NpyWriter writer(path(), at::kFloat, 2);
  writer.write(at::tensor({1.5, 0.0}, at::kFloat).reshape({1, 2}));
  writer.commit();
  std::string expected("\x93NUMPY\x01\x00\x76\x00", 10);
  expected += "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2), }";
  expected.resize(127, ' ');
  expected += '\n';
  EXPECT_EQ(read_file(path()), expected + std::string("\0\0\xc0\x3f\0\0\0\0", 8));
}

TEST_F(NpyWriting, ReturnsTheRowsThatCameOneAfterTheOther) {
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kLong}) {
    const at::Tensor rows = at::arange(21).reshape({7, 3}).to(dtype);
    NpyWriter writer(path(), dtype, 3);
    writer.write(rows.slice(0, 0, 4));
    writer.write(rows.slice(0, 4, 4));  // none
    writer.write(rows.slice(0, 4, 7).t().contiguous().t());
    writer.commit();
    const at::Tensor got = load_npy(path());
    EXPECT_EQ(got.scalar_type(), dtype);
    EXPECT_TRUE(at::equal(got, rows));
  }
}

TEST_F(NpyWriting, WritesOneDimensionWithoutColumns) {
  NpyWriter writer(path(), at::kLong);
  writer.write(at::arange(5));
  writer.write(at::arange(2));
  writer.commit();
  EXPECT_TRUE(at::equal(load_npy(path()), at::cat({at::arange(5), at::arange(2)})));
}

TEST_F(NpyWriting, WritesAnArrayWithoutRows) {
  NpyWriter(path(), at::kFloat, 4).commit();
  EXPECT_THAT(load_npy(path()).sizes(), ElementsAre(0, 4));
}

TEST_F(NpyWriting, LeavesTheOldFileUntilItCommits) {
  replace_file(path(), "old");
  { NpyWriter(path(), at::kFloat).write(at::ones({3})); }
  EXPECT_EQ(read_file(path()), "old");
}

TEST_F(NpyWriting, WritesArraysOfAnyShapeWhole) {
  const at::Tensor arrays[] = {at::randn({2, 3, 4}).transpose(0, 2), at::arange(5),
                               at::zeros({}, at::kDouble), at::zeros({0, 7}),
                               at::arange(2).view({1, 1, 1, 1, 2})};
  for (const at::Tensor& array : arrays) {
    save_npy(path(), array);
    EXPECT_TRUE(load_npy(path()).equal(array)) << array.sizes();
    EXPECT_EQ(read_file(path()).find('\n'), 127u);
  }
  const at::Tensor deep = at::ones(std::vector<int64_t>(30, 1));
  save_npy(path(), deep);
  EXPECT_EQ(load_npy(path()).dim(), 30);
  EXPECT_EQ((read_file(path()).find('\n') + 1) % 64, 0u);
  EXPECT_THAT([&] { save_npy(path(), at::zeros({2}, at::kHalf)); },
              ThrowsMessage<Error>(HasSubstr("an array of Half cannot be written")));
}

TEST_F(NpyWriting, RefusesRowsThatDoNotFit) {
  NpyWriter writer(path(), at::kFloat, 3);
  for (const at::Tensor& rows :
       {at::ones({3}), at::ones({1, 4}), at::ones({1, 3}, at::kDouble), at::ones({1, 1, 3})}) {
    EXPECT_THAT([&] { writer.write(rows); }, ThrowsMessage<Error>(HasSubstr("do not fit")));
  }
  EXPECT_THROW(NpyWriter(path(), at::kHalf), Error);
  EXPECT_THROW(NpyWriter(path(), at::kFloat, -1), Error);
}

TEST_F(NpyReading, ReadsEveryTypeAndVersion) {
  const std::string data("\1\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0", 16);
  for (const auto& [name, dtype] : {std::pair{"<f2", at::kHalf},
                                    {"<f4", at::kFloat},
                                    {"<f8", at::kDouble},
                                    {"<c8", at::kComplexFloat},
                                    {"<c16", at::kComplexDouble},
                                    {"|i1", at::kChar},
                                    {"<i1", at::kChar},
                                    {"<i2", at::kShort},
                                    {"<i4", at::kInt},
                                    {"<i8", at::kLong},
                                    {"|u1", at::kByte},
                                    {"<u2", at::kUInt16},
                                    {"<u4", at::kUInt32},
                                    {"<u8", at::kUInt64},
                                    {"|b1", at::kBool}}) {
    const size_t size = 16 / c10::elementSize(dtype);
    const std::string header = "{'descr': '" + std::string(name) +
                               "', 'fortran_order': False, 'shape': (" + std::to_string(size) +
                               ",)}";
    const at::Tensor got = read(file_with(header, data));
    EXPECT_EQ(got.scalar_type(), dtype);
    EXPECT_EQ(std::memcmp(got.const_data_ptr(), data.data(), 16), 0);
  }
  std::string newer = file_with("{'descr': '|u1', 'fortran_order': False, 'shape': ()}", "x");
  newer[6] = 2;
  newer.insert(10, 2, '\0');
  EXPECT_EQ(read(newer).item<int>(), 'x');
}

TEST_F(NpyReading, ReadsColumnsFirst) {
  const std::string data("\0\1\2\3\4\5", 6);
  const at::Tensor got =
      read(file_with("{\"shape\": (2, 3), 'fortran_order': True, 'descr': '|u1', }\n", data));
  EXPECT_TRUE(at::equal(got, at::tensor({0, 2, 4, 1, 3, 5}, at::kByte).reshape({2, 3})));
  EXPECT_TRUE(got.is_contiguous());
}

TEST_F(NpyReading, RefusesWhatIsNoNpyFile) {
  EXPECT_THAT([&] { load_npy(path()); }, ThrowsMessage<Error>(HasSubstr("cannot be opened")));
  expect_refused("", "does not begin as a .npy file does");
  expect_refused("PK\x03\x04 an archive of arrays", "does not begin as a .npy file does");
  expect_refused(std::string("\x93NUMPY\x04\x00\x00\x00", 10), "its format has version 4");
  expect_refused(std::string("\x93NUMPY\x01\x00\xff\xff", 10), "it ends within its header");
  expect_refused(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff", 12), "it ends within its header");
}

TEST_F(NpyReading, RefusesADamagedHeader) {
  const std::string rest = ", 'fortran_order': False, 'shape': (2,)}";
  expect_header_refused("", "has no '{'");
  expect_header_refused("{", "has no text at byte 1");
  expect_header_refused("{}", "must have the keys descr, fortran_order and shape");
  expect_header_refused("{'descr': '<f4'}", "must have the keys");
  expect_header_refused("{'descr': '<f4', 'descr': '<f4'" + rest, "has the key 'descr' twice");
  expect_header_refused("{'order': '<f4'" + rest, "has the key 'order'");
  expect_header_refused("{'descr': '<f4\t'" + rest, "is none of its words");
  expect_header_refused("{'descr': '<f4'" + rest + "x", "goes on after its end");
  expect_header_refused("{'descr': '<f4', 'fortran_order': false, 'shape': (2,)}",
                        "neither True nor False");
}

TEST_F(NpyReading, RefusesTypesThatAreNoNumbers) {
  const std::string rest = "', 'fortran_order': False, 'shape': (2,)}";
  expect_header_refused("{'descr': '>f4" + rest, "big-endian");
  expect_header_refused("{'descr': '|O" + rest, "Python objects");
  expect_header_refused("{'descr': '<U2" + rest, "cannot be read");
  expect_header_refused("{'descr': [('a', '<f4')]" + rest.substr(1), "it holds records");
  expect_refused(file_with("{'descr': '|b1" + rest, "\1\2"), "one is 2");
}

TEST_F(NpyReading, RefusesAShapeThatDoesNotFitTheData) {
  const auto shaped = [](const std::string& shape) {
    return "{'descr': '<f4', 'fortran_order': False, 'shape': " + shape + "}";
  };
  for (const char* shape : {"(-1,)", "(x,)", "(1.5,)", "(9223372036854775808,)"}) {
    expect_header_refused(shaped(shape), "its header has ");
  }
  expect_header_refused(shaped("2"), "has no '('");
  expect_header_refused(shaped("(2"), "has no ')'");
  expect_header_refused(shaped("(4294967296, 4294967296)"), "no 64-bit number");
  expect_header_refused(shaped("(0, 4294967296, 4294967296)"), "no 64-bit number");
  expect_header_refused(shaped("(3,)"), "takes 12 bytes of elements; it has 8");
  expect_header_refused(shaped("(1,)"), "takes 4 bytes of elements; it has 8");
  expect_header_refused(shaped("(0,)"), "takes 0 bytes of elements; it has 8");
  std::string many = "(";
  for (int i = 0; i < 33; ++i) many += "1,";
  expect_header_refused(shaped(many + ")"), "more than 32 sizes");
}

TEST_F(NpyReading, RefusesAFileCutAnywhere) {
  NpyWriter writer(path(), at::kDouble, 3);
  writer.write(at::ones({2, 3}, at::kDouble));
  writer.commit();
  const std::string whole = read_file(path());
  for (size_t size = 0; size < whole.size(); ++size) {
    EXPECT_THROW(read(whole.substr(0, size)), Error) << size << " bytes";
  }
  EXPECT_EQ(read(whole).numel(), 6);
}

}  // namespace
}  // namespace lowrank::io
