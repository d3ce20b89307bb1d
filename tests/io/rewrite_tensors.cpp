// SPDX-License-Identifier: Apache-2.0
// rewrite_tensors IN OUT: reads tensors as io::load_tensors does, writes them as safetensors, and prints what was taken
// and what was left out. For tests that compare with another program's reading.
#include <cstdio>

#include "lowrank/base/error.h"
#include "lowrank/io/load_tensors.h"

int main(int count, char** arguments) {
  if (count != 3) {
    std::fputs("usage: rewrite_tensors IN OUT.safetensors\n", stderr);
    return 2;
  }
  try {
    const lowrank::io::LoadedTensors loaded = lowrank::io::load_tensors(arguments[1]);
    lowrank::io::save_safetensors(arguments[2], loaded.tensors);
    std::printf("root %s\n", loaded.root.c_str());
    for (const std::string& line : loaded.left_out) std::printf("left out %s\n", line.c_str());
  } catch (const lowrank::Error& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
