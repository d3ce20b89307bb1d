// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "lowrank/base/error.h"
#include "lowrank/io/safetensors.h"

// Any bytes as a safetensors file: one sentence, or tensors that take as many bytes as the header says.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lowrank;
  const auto file = std::as_bytes(std::span(data, size));
  try {
    const io::SafetensorsHeader header = io::read_safetensors_header(file, "some.safetensors");
    uint64_t bytes = header.data_begin;
    for (const auto& [name, tensor] : io::read_safetensors(file, "some.safetensors")) {
      bytes += tensor.nbytes();
    }
    if (bytes != size) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
