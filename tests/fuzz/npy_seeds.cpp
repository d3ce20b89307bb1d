// SPDX-License-Identifier: Apache-2.0
#include <cstdint>

#include "tests/fuzz/seeds.h"
#include "tests/support/pickle_bytes.h"

namespace lowrank::testing {
namespace {

std::string file_with(const std::string& entries, size_t data_bytes) {
  const std::string header = "{" + entries + "}\n";
  return std::string("\x93NUMPY\x01\x00", 8) + little_endian(static_cast<uint16_t>(header.size())) +
         header + std::string(data_bytes, '\x01');
}

}  // namespace

std::vector<std::string> seeds() {
  return {file_with("'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), ", 24),
          file_with("'descr': '|b1', 'fortran_order': True, 'shape': (2, 3, 4)", 24),
          file_with("\"shape\": (), 'descr': '<i8', 'fortran_order': False", 8),
          file_with("'descr': '<c16', 'fortran_order': False, 'shape': (0,)", 0)};
}

}  // namespace lowrank::testing
