// SPDX-License-Identifier: Apache-2.0
#include "tests/fuzz/seeds.h"
#include "tests/support/small_tokenizers.h"

namespace lowrank::testing {

std::vector<std::string> seeds() {
  return {small_word_piece().dump(), small_byte_pair().dump(), small_unigram().dump()};
}

}  // namespace lowrank::testing
