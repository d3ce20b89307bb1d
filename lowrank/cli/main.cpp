// SPDX-License-Identifier: Apache-2.0
#include <malloc.h>
#include <unistd.h>

#include <iostream>

#include "lowrank/cli/program.h"

namespace {

// glibc returns a large block to the system as soon as it is free, and gets its pages again, zeroed
// one by one, for the same tensor of the next step: up to a sixth of a training step. This program
// ends when its work is done and may keep them.
void keep_freed_memory() {
#if defined(__GLIBC__)
  mallopt(M_MMAP_THRESHOLD, 1 << 30);
  mallopt(M_TRIM_THRESHOLD, -1);
#endif
}

}  // namespace

int main(int argc, char** argv) {
  keep_freed_memory();
  std::ios::sync_with_stdio(false);
  const lowrank::cli::Console console{std::cin, std::cout, std::cerr, isatty(STDERR_FILENO) == 1};
  return lowrank::cli::run_program({argv + 1, argv + argc}, console);
}
