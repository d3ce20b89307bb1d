// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/escape.h"

#include <fmt/format.h>

#include <cstdint>

#include "lowrank/text/utf8.h"

namespace lowrank::cli {
namespace {

std::string escape_of(char byte) {
  switch (byte) {
    case '\n':
      return "\\n";
    case '\t':
      return "\\t";
    case '\r':
      return "\\r";
    default:
      return fmt::format("\\x{:02x}", static_cast<uint8_t>(byte));
  }
}

bool is_control(char byte) { return (byte >= 0 && byte < 0x20) || byte == 0x7F; }

}  // namespace

std::string escaped(std::string_view text) {
  std::string line;
  while (!text.empty()) {
    const size_t valid = text::find_invalid_utf8(text).value_or(text.size());
    for (const char byte : text.substr(0, valid)) {
      line += is_control(byte) ? escape_of(byte) : std::string(1, byte);
    }
    text.remove_prefix(valid);
    if (text.empty()) break;
    line += escape_of(text[0]);
    text.remove_prefix(1);
  }
  return line;
}

}  // namespace lowrank::cli
