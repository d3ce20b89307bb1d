// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <iostream>

#include "lowrank/cli/program.h"

int main(int argc, char** argv) {
  std::ios::sync_with_stdio(false);
  const lowrank::cli::Console console{std::cin, std::cout, std::cerr, isatty(STDERR_FILENO) == 1};
  return lowrank::cli::run_program({argv + 1, argv + argc}, console);
}
