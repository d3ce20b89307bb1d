// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/seeds.h"

namespace lowrank::testing {

std::vector<std::string> seeds() {
  return {"he unable cafe, hello", "A caf\xc3\xa9 \xf0\x9f\x99\x82  \t[CLS] ab</s>",
          "\xff\xc3 <|endoftext|>", "\xe2\x96\x81he \xef\xac\x81 e\xcc\x81 \xe4\xb8\xad"};
}

}  // namespace lowrank::testing
