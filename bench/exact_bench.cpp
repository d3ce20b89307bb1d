// SPDX-License-Identifier: Apache-2.0
#include "bench/attention_bench.h"

int main(int argc, char** argv) {
  using namespace lowrank::bench;
  return run_table(argc, argv, "exact", exact, exact_flops);
}
