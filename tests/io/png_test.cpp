// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/png.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "lowrank/base/error.h"

namespace lowrank::io {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

std::string in_hexadecimal(const std::string& bytes) {
  std::string digits;
  for (const char byte : bytes) {
    digits += "0123456789abcdef"[static_cast<unsigned char>(byte) >> 4];
    digits += "0123456789abcdef"[static_cast<unsigned char>(byte) & 15];
  }
  return digits;
}

// The bytes that zlib makes of the same rows at level 0, with the chunks of the PNG specification.
TEST(GrayPng, IsTheFileOfItsPixels) {
  const std::vector<uint8_t> pixels = {0, 127, 255, 1, 2, 3};
  EXPECT_EQ(in_hexadecimal(gray_png(pixels, 3)),
            "89504e470d0a1a0a0000000d49484452000000"
            "03000000020800000000b81f39c60000001349"
            "4441547801010800f7ff00007fff0001020308"
            "0701857730546e0000000049454e44ae426082");
}

TEST(GrayPng, StoresLargePicturesInSeveralBlocks) {
  const std::vector<uint8_t> pixels(300 * 700, 9);
  const std::string png = gray_png(pixels, 300);
  const size_t rows = 301 * 700, blocks = 4;
  EXPECT_EQ(png.size(), 8 + (12 + 13) + (12 + 2 + rows + 5 * blocks + 4) + 12);
}

TEST(GrayPng, RefusesRowsThatAreNotWhole) {
  EXPECT_THAT([] { gray_png(std::vector<uint8_t>(7), 3); },
              ThrowsMessage<Error>(HasSubstr("7 pixels, width = 3")));
}

}  // namespace
}  // namespace lowrank::io
