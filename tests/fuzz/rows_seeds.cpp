// SPDX-License-Identifier: Apache-2.0
#include <string>

#include "tests/fuzz/seeds.h"

namespace lowrank::testing {

// The first byte: format, kind of label, packing (rows_fuzz.cpp).
std::vector<std::string> seeds() {
  const std::string gzip(
      "\x1f\x8b\x08\x00\x00\x00\x00\x00\x02\x03\x2b\x49\xad\x28\xe1\xcc\x49\x4c\x4a\xcd"
      "\xe1\x4a\xe4\xac\xe0\x02\x00\x9f\xa5\x06\x9a\x0f\x00\x00\x00",
      35);
  const std::string xz(
      "\xfd\x37\x7a\x58\x5a\x00\x00\x04\xe6\xd6\xb4\x46\x02\x00\x21\x01\x16\x00\x00\x00"
      "\x74\x2f\xe5\xa3\x01\x00\x0e\x74\x65\x78\x74\x09\x6c\x61\x62\x65\x6c\x0a\x61\x09"
      "\x78\x0a\x00\x00\x0e\xb8\x43\xb0\x97\x4c\x22\xac\x00\x01\x27\x0f\xdf\x1a\xfc\x6a"
      "\x1f\xb6\xf3\x7d\x01\x00\x00\x00\x00\x04\x59\x5a",
      72);
  return {
      "\x90"
      "text\tlabel\na\tx\nb c\ty\n",
      "\x94"
      "text\tlabel\na\t1.5\nb c\t-2e3\n",
      "\x91"
      "{\"text\": \"a\", \"label\": \"x\"}\n\n{\"text\": \"b\", \"label\": 2}\n",
      "\x92"
      "one\ntwo\n\nthree\n",
      "\x93"
      "-DOCSTART- O\n\nEU NNP B-ORG\nrejects VBZ O\n\nPeter\tB-PER\n",
      "\x80" + gzip,
      "\x88" + xz};
}

}  // namespace lowrank::testing
