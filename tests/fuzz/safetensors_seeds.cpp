// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cstdint>
#include <cstring>

#include "tests/fuzz/seeds.h"

namespace lowrank::testing {
namespace {

std::string file_with(const std::string& header, size_t data_bytes) {
  const uint64_t length = header.size();
  std::string file(sizeof length, '\0');
  std::memcpy(file.data(), &length, sizeof length);
  return file + header + std::string(data_bytes, '\x01');
}

}  // namespace

std::vector<std::string> seeds() {
  std::vector<std::string> files = {
      file_with("{}", 0),
      file_with(
          R"({"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[1,2],"data_offsets":[0,8]},)"
          R"("b":{"dtype":"BOOL","shape":[3],"data_offsets":[8,11]}}   )",
          11),
      file_with(R"({"empty":{"dtype":"F16","shape":[0,4],"data_offsets":[0,0]},)"
                R"("scalar":{"dtype":"I64","shape":[],"data_offsets":[0,8]}})",
                8)};
  for (const char* dtype : {"F64", "C64", "U64", "I64"}) {
    files.push_back(file_with(
        fmt::format(R"({{"w":{{"dtype":"{}","shape":[2],"data_offsets":[0,16]}}}})", dtype), 16));
  }
  for (const char* dtype :
       {"BF16", "F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U16", "F4", "F6_E2M3"}) {
    files.push_back(file_with(
        fmt::format(R"({{"w":{{"dtype":"{}","shape":[4],"data_offsets":[0,4]}}}})", dtype), 4));
  }
  return files;
}

}  // namespace lowrank::testing
