// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "lowrank/base/error.h"
#include "lowrank/io/npy.h"

// Any bytes as a .npy file: one sentence, or a tensor that takes no more bytes than the file.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lowrank;
  try {
    const at::Tensor tensor = io::read_npy(std::as_bytes(std::span(data, size)), "some.npy");
    if (tensor.nbytes() >= size || !tensor.is_contiguous()) std::abort();
  } catch (const Error&) {
  }
  return 0;
}
