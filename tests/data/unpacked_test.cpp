// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/unpacked.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <lzma.h>
#include <zlib.h>

#include <cstdint>
#include <vector>

#include "lowrank/base/error.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::data {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const uint8_t* bytes_of(const std::string& text) {
  return reinterpret_cast<const uint8_t*>(text.data());
}

std::string xz(const std::string& text) {
  std::string packed(lzma_stream_buffer_bound(text.size()), '\0');
  size_t size = 0;
  EXPECT_EQ(
      lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, nullptr, bytes_of(text), text.size(),
                              reinterpret_cast<uint8_t*>(packed.data()), &size, packed.size()),
      LZMA_OK);
  packed.resize(size);
  return packed;
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
  std::string packed(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = const_cast<uint8_t*>(bytes_of(text));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<uint8_t*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

// Longer than the steps in which it is unpacked.
std::string long_text() {
  std::string text;
  for (int i = 0; text.size() < 3'000'000; ++i) text += std::to_string(i * 7919) + "\n";
  return text;
}

struct Packing {
  const char* ending;
  std::string (*pack)(const std::string&);
};

class Packed : public ::testing::TestWithParam<Packing> {
 protected:
  std::string write(const std::string& content) {
    return folder_.write(std::string("file") + GetParam().ending, content);
  }
  testing::TemporaryFolder folder_;
};

TEST_P(Packed, ComesBackWhole) {
  for (const std::string& text : {std::string(), std::string("a"), long_text()}) {
    EXPECT_TRUE(read_unpacked(write(GetParam().pack(text))) == text);
  }
}

TEST_P(Packed, MayBeSeveralOneAfterTheOther) {
  EXPECT_EQ(read_unpacked(write(GetParam().pack("first ") + GetParam().pack("second"))),
            "first second");
}

TEST_P(Packed, IsReadUpToTheLimit) {
  EXPECT_EQ(read_unpacked(write(GetParam().pack(long_text())), 10), long_text().substr(0, 10));
}

TEST_P(Packed, IsNamedWhereItIsCutShortAnywhere) {
  const std::string packed = GetParam().pack("some text that is packed");
  for (size_t size = 0; size < packed.size(); ++size) {
    EXPECT_THAT([&] { read_unpacked(write(packed.substr(0, size))); },
                ThrowsMessage<Error>(HasSubstr("damaged or cut short")))
        << size;
  }
}

TEST_P(Packed, IsNamedWhereAByteIsWrong) {
  std::string packed = GetParam().pack(long_text());
  packed[packed.size() / 2] = static_cast<char>(packed[packed.size() / 2] ^ 0x55);
  EXPECT_THAT([&] { read_unpacked(write(packed)); },
              ThrowsMessage<Error>(HasSubstr("damaged or cut short")));
}

INSTANTIATE_TEST_SUITE_P(All, Packed, ::testing::Values(Packing{".xz", xz}, Packing{".gz", gzip}),
                         [](const auto& test) { return std::string(test.param.ending).substr(1); });

TEST(Unpacked, ReadsAnyOtherFileAsItIs) {
  const testing::TemporaryFolder folder;
  EXPECT_EQ(read_unpacked(folder.write("a.tsv", "plain")), "plain");
}

TEST(Unpacked, FindsAFileUnderItsOwnNameFirst) {
  const testing::TemporaryFolder folder;
  EXPECT_TRUE(packed_or_not(folder.path() / "a.tsv").empty());
  folder.write("a.tsv.gz", gzip("x"));
  EXPECT_EQ(packed_or_not(folder.path() / "a.tsv"), folder.path() / "a.tsv.gz");
  folder.write("a.tsv", "x");
  EXPECT_EQ(packed_or_not(folder.path() / "a.tsv"), folder.path() / "a.tsv");
}

}  // namespace
}  // namespace lowrank::data
