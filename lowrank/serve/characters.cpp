// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/characters.h"

#include <algorithm>

namespace lowrank::serve {

Characters::Characters(std::string_view text) {
  before_.reserve(text.size() + 1);
  before_.push_back(0);
  for (const char byte : text) {
    const bool begins = (static_cast<unsigned char>(byte) & 0xC0) != 0x80;
    before_.push_back(before_.back() + (begins ? 1 : 0));
  }
}

text::Span Characters::of(text::Span bytes) const {
  const auto at = [&](int64_t byte) { return before_[static_cast<size_t>(byte)]; };
  if (bytes.begin >= bytes.end) return {at(bytes.begin), at(bytes.begin)};
  return {std::max<int64_t>(at(bytes.begin + 1) - 1, 0), at(bytes.end)};
}

}  // namespace lowrank::serve
