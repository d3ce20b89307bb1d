// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "lowrank/cli/program.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::testing {

struct Ran {
  int status = 0;
  std::string out, err;
};

// Runs the program in this process, without a terminal.
inline Ran lowrank(const std::vector<std::string>& arguments, const std::string& input = "") {
  std::istringstream in(input);
  std::ostringstream out, err;
  const int status = cli::run_program(arguments, {in, out, err});
  return {status, out.str(), err.str()};
}

inline void write_text(const std::filesystem::path& path, const std::string& text) {
  std::filesystem::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

// Files of digits and files of letters, and a recipe whose model learns to tell them apart in a second.
class TinyTask {
 public:
  TinyTask() {
    for (int i = 0; i < 60; ++i) {
      write_text(folder_.path() / "digits" / fmt::format("{}.txt", i), text('0', i));
      write_text(folder_.path() / "letters" / fmt::format("{}.txt", i), text('k', i));
    }
    write_text(recipe(), fmt::format(R"(
[data]
max_length = 128
validation_share = 0.2
test_share = 0.2

[data.classes]
digits = ["{0}/digits"]
letters = ["{0}/letters"]

[model]
width = 16
layers = 1
heads = 2
feed_forward = 32
embeddings = {{max_positions = 128}}
attention = {{kind = "nystrom", landmarks = 8}}

[train]
output = "{0}/run"
steps = 40
learning_rate = 1e-2
log_every = 10
threads = 1
seed = 1
)",
                                     folder_.path().string()));
  }

  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string recipe() const { return path("recipe.toml"); }
  std::string model() const { return path("run"); }

  // A document of ten symbols from `first` on, unlike the others.
  static std::string text(char first, int seed) {
    std::string document;
    uint32_t state = static_cast<uint32_t>(seed) * 2654435761u + 1;
    for (int i = 0; i < 90 + seed % 20; ++i) {
      state = state * 1664525u + 1013904223u;
      document += i % 6 == 5 ? ' ' : static_cast<char>(first + static_cast<char>(state >> 24) % 10);
    }
    return document;
  }

 private:
  TemporaryFolder folder_;
};

}  // namespace lowrank::testing
