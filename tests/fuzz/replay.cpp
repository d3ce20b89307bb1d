// SPDX-License-Identifier: Apache-2.0
// replay            gives the reader its seeds: whole, cut at every byte, and 20,000 times with bytes changed. Always the
//                   same inputs, so that a test without a fuzzer still sees that the reader takes any.
// replay FOLDER     writes the seeds there, for the fuzzer to begin with.
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "tests/fuzz/seeds.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

// A copy of exactly this size: one byte past its end is not its own, as a sanitizer sees.
void run(const std::string& input) {
  const std::vector<uint8_t> bytes(input.begin(), input.end());
  LLVMFuzzerTestOneInput(bytes.data(), bytes.size());
}

std::string changed(std::string input, std::mt19937& random) {
  constexpr std::string_view kSyntax = "0123456789-.,:[]{}()\"'\n";
  for (auto changes = 1 + random() % 4; changes > 0 && !input.empty(); --changes) {
    const size_t at = random() % input.size();
    switch (random() % 4) {
      case 0:
        input[at] = static_cast<char>(random());
        break;
      case 1:
        input[at] = kSyntax[random() % kSyntax.size()];
        break;
      case 2:
        input.erase(at, 1 + random() % 8);
        break;
      default:
        input.insert(at, input.substr(random() % input.size(), random() % 16));
    }
  }
  return input;
}

void write(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  int number = 0;
  for (const std::string& seed : lowrank::testing::seeds()) {
    std::ofstream file;
    file.exceptions(std::ios::failbit | std::ios::badbit);
    file.open(folder / std::to_string(number++), std::ios::binary);
    file << seed;
  }
}

void replay() {
  constexpr size_t kMostCuts = 2000, kChanged = 20'000;
  const std::vector<std::string> seeds = lowrank::testing::seeds();
  run("");
  for (const std::string& seed : seeds) {
    run(seed);
    for (size_t size = 0; size < std::min(seed.size(), kMostCuts); ++size)
      run(seed.substr(0, size));
  }
  std::mt19937 random(1);
  for (size_t i = 0; i < kChanged; ++i) run(changed(seeds[i % seeds.size()], random));
}

}  // namespace

int main(int count, char** arguments) {
  try {
    if (count > 1) {
      write(arguments[1]);
    } else {
      replay();
    }
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
  return 0;
}
