// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>

#include <cstddef>
#include <cstdint>

#include "lowrank/base/error.h"
#include "lowrank/io/pytorch_file.h"

// Any bytes as a file of torch.save: one sentence, or tensors whose every element can be read.
extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace lowrank;
  try {
    const io::PytorchFile file(std::as_bytes(std::span(data, size)), "some.pt");
    constexpr int64_t kFew = 1000;  // strides of zero make many of one
    for (const auto& [name, tensor] : file.state_dict().tensors) {
      if (tensor.numel() < kFew) tensor.contiguous();
    }
    file.state_dict("");
  } catch (const Error&) {
  }
  return 0;
}
