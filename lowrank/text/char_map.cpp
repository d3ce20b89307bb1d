// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/char_map.h"

#include <fmt/format.h>

#include <array>

#include "lowrank/base/error.h"

namespace lowrank::text {
namespace {

uint32_t little_endian(std::string_view bytes, size_t at) {
  uint32_t value = 0;
  for (size_t i = 0; i < 4; ++i) {
    value |= static_cast<uint32_t>(static_cast<unsigned char>(bytes[at + i])) << (8 * i);
  }
  return value;
}

// The parts of a unit.
bool has_leaf(uint32_t unit) { return ((unit >> 8) & 1) != 0; }
uint32_t value(uint32_t unit) { return unit & 0x7FFFFFFF; }
uint32_t label(uint32_t unit) { return unit & 0x800000FF; }
uint32_t offset(uint32_t unit) { return (unit >> 10) << ((unit & 0x200) >> 6); }

}  // namespace

CharMap::CharMap(std::string_view bytes, const std::string& where) {
  const auto fail = [&](const char* rule) {
    throw Error(
        fmt::format("{}: the precompiled map of characters {}. Mend the file.", where, rule));
  };
  if (bytes.size() < 4) fail("is shorter than its own size");
  const size_t size = little_endian(bytes, 0);
  if (size % 4 != 0 || size == 0 || size > bytes.size() - 4) fail("is cut short");
  units_.reserve(size / 4);
  for (size_t at = 4; at < 4 + size; at += 4) units_.push_back(little_endian(bytes, at));
  replacements_ = bytes.substr(4 + size);
}

std::optional<std::string_view> CharMap::find(std::string_view sequence) const {
  size_t at = offset(units_[0]);
  for (const char c : sequence) {
    const auto byte = static_cast<unsigned char>(c);
    if (byte == 0) return std::nullopt;
    at ^= byte;
    if (at >= units_.size() || label(units_[at]) != byte) return std::nullopt;
    const bool ends = has_leaf(units_[at]);
    at ^= offset(units_[at]);
    if (!ends) continue;
    if (at >= units_.size() || value(units_[at]) > replacements_.size()) return std::nullopt;
    const std::string_view rest = std::string_view(replacements_).substr(value(units_[at]));
    return rest.substr(0, rest.find('\0'));
  }
  return std::nullopt;
}

std::string decode_base64(std::string_view text, const std::string& where) {
  std::array<int8_t, 256> values;
  values.fill(-1);
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  for (size_t i = 0; i < kDigits.size(); ++i) {
    values[static_cast<unsigned char>(kDigits[i])] = static_cast<int8_t>(i);
  }
  while (!text.empty() && text.back() == '=') text.remove_suffix(1);
  std::string bytes;
  bytes.reserve(text.size() / 4 * 3 + 2);
  uint32_t bits = 0;
  int count = 0;
  for (const char c : text) {
    const int digit = values[static_cast<unsigned char>(c)];
    if (digit < 0) throw Error(fmt::format("{}: this is not Base64. Mend the file.", where));
    bits = bits << 6 | static_cast<uint32_t>(digit);
    count += 6;
    if (count < 8) continue;
    count -= 8;
    bytes += static_cast<char>(bits >> count & 0xFF);
  }
  return bytes;
}

}  // namespace lowrank::text
