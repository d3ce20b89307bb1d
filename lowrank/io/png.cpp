// SPDX-License-Identifier: Apache-2.0
#include "lowrank/io/png.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "lowrank/base/error.h"

namespace lowrank::io {
namespace {

std::string big_endian(uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

std::string little_endian(uint16_t value) {
  return {static_cast<char>(value & 0xff), static_cast<char>(value >> 8)};
}

// ISO 3309, as PNG wants it.
uint32_t crc32(std::string_view bytes) {
  static const std::array<uint32_t, 256> kTable = [] {
    std::array<uint32_t, 256> table{};
    for (uint32_t i = 0; i < 256; ++i) {
      table[i] = i;
      for (int bit = 0; bit < 8; ++bit) {
        table[i] = (table[i] >> 1) ^ ((table[i] & 1) != 0 ? 0xedb88320U : 0U);
      }
    }
    return table;
  }();
  uint32_t crc = 0xffffffff;
  for (const char byte : bytes) {
    crc = (crc >> 8) ^ kTable[(crc ^ static_cast<unsigned char>(byte)) & 0xff];
  }
  return ~crc;
}

uint32_t adler32(std::string_view bytes) {
  uint32_t a = 1, b = 0;
  for (const char byte : bytes) {
    a = (a + static_cast<unsigned char>(byte)) % 65521;
    b = (b + a) % 65521;
  }
  return (b << 16) | a;
}

std::string chunk(std::string_view type, const std::string& content) {
  const std::string body = std::string(type) + content;
  return big_endian(static_cast<uint32_t>(content.size())) + body + big_endian(crc32(body));
}

// A zlib stream of blocks that are not compressed.
std::string stored(const std::string& bytes) {
  constexpr size_t kMost = 65535;
  std::string stream = "\x78\x01";
  for (size_t begin = 0; begin < bytes.size() || begin == 0; begin += kMost) {
    const std::string block = bytes.substr(begin, kMost);
    const auto size = static_cast<uint16_t>(block.size());
    stream += begin + kMost >= bytes.size() ? '\1' : '\0';  // the last one
    stream += little_endian(size) + little_endian(static_cast<uint16_t>(~size)) + block;
  }
  return stream + big_endian(adler32(bytes));
}

}  // namespace

std::string gray_png(std::span<const uint8_t> pixels, int64_t width) {
  const auto count = std::ssize(pixels);
  if (width < 1 || count == 0 || count % width != 0) {
    throw Error(fmt::format(
        "gray_png: {} pixels, width = {}; a picture is whole rows. Pass width times height pixels.",
        count, width));
  }
  std::string rows;
  for (int64_t begin = 0; begin < count; begin += width) {
    rows += '\0';  // no filter
    rows.append(pixels.begin() + begin, pixels.begin() + begin + width);
  }
  const std::string header = big_endian(static_cast<uint32_t>(width)) +
                             big_endian(static_cast<uint32_t>(count / width)) +
                             std::string("\x08\0\0\0\0", 5);  // 8 bits of gray
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", header) + chunk("IDAT", stored(rows)) +
         chunk("IEND", "");
}

}  // namespace lowrank::io
