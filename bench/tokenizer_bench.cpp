// SPDX-License-Identifier: Apache-2.0
// One side of tokenizer_peers.py: encodes the lines of a text with a tokenizer's files, as often as it
// is told to.
//
//   tokenizer_bench FOLDER TEXT [IDS]
//
// Every line on standard input is a round: "ids" encodes to ids alone, "spans" finds the spans too. Its
// seconds are written as one line. IDS is a file that gets the ids of all lines as 8-byte numbers.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "lowrank/base/file.h"
#include "lowrank/text/tokenizer_files.h"

namespace {

using lowrank::text::Tokenizer;

std::vector<std::string_view> lines_of(const std::string& text) {
  std::vector<std::string_view> lines;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    lines.emplace_back(text.data() + begin, end - begin);
    begin = end + 1;
  }
  return lines;
}

double seconds_of_round(const Tokenizer& tokenizer, const std::vector<std::string_view>& lines,
                        bool spans) {
  const auto start = std::chrono::steady_clock::now();
  size_t tokens = 0;
  for (const std::string_view line : lines) {
    tokens += spans ? tokenizer.encode_with_spans(line).ids.size() : tokenizer.encode(line).size();
  }
  const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
  return tokens == 0 ? 0 : took.count();
}

void write_ids(const Tokenizer& tokenizer, const std::vector<std::string_view>& lines,
               const char* path) {
  std::ofstream file(path, std::ios::binary);
  for (const std::string_view line : lines) {
    const std::vector<int64_t> ids = tokenizer.encode(line);
    file.write(reinterpret_cast<const char*>(ids.data()),
               static_cast<std::streamsize>(ids.size() * sizeof(int64_t)));
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3) {
    std::fprintf(stderr, "usage: tokenizer_bench FOLDER TEXT [IDS]\n");
    return 2;
  }
  const auto tokenizer = lowrank::text::load_tokenizer(argv[1]);
  const std::string text = lowrank::read_file(argv[2]);
  const std::vector<std::string_view> lines = lines_of(text);
  if (argc > 3) write_ids(*tokenizer, lines, argv[3]);
  for (std::string round; std::getline(std::cin, round);) {
    std::printf("%.9f\n", seconds_of_round(*tokenizer, lines, round == "spans"));
    std::fflush(stdout);
  }
}
