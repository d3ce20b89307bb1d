// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

#include "lowrank/text/tokenizer.h"

namespace lowrank::serve {

// Which characters (code points) of a text its bytes belong to. A byte that is no UTF-8 counts as one
// unless it looks like the rest of a character.
class Characters {
 public:
  explicit Characters(std::string_view text);

  // Those that the bytes [begin, end) touch; at `begin` where there are no bytes.
  text::Span of(text::Span bytes) const;

 private:
  std::vector<int64_t>
      before_;  // characters that begin before byte i; one more than there are bytes
};

}  // namespace lowrank::serve
