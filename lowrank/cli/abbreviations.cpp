// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/abbreviations.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>

namespace lowrank::cli {
namespace {

// The first two characters of each word: "torch_python" -> "topy".
std::string beginnings(const std::string& name) {
  std::string letters;
  size_t in_word = 0;
  for (const char c : name) {
    if (!std::isalnum(static_cast<unsigned char>(c))) {
      in_word = 0;
    } else if (in_word++ < 2) {
      letters += c;
    }
  }
  return letters.substr(0, 6);
}

}  // namespace

std::vector<std::string> abbreviations(const std::vector<std::string>& names) {
  std::vector<std::vector<std::string>> candidates;  // of a name, in order of preference
  for (size_t i = 0; i < names.size(); ++i) {
    const std::string& name = names[i];
    candidates.push_back({name.substr(0, 3), name.substr(0, 4), beginnings(name),
                          fmt::format("{}{}", name.substr(0, 2), i + 1)});
  }
  std::vector<std::string> chosen;
  for (const auto& own : candidates) {
    for (size_t kind = 0; kind < own.size(); ++kind) {
      const auto same = [&](const auto& other) { return other[kind] == own[kind]; };
      const bool distinct = std::count_if(candidates.begin(), candidates.end(), same) == 1;
      const bool taken = std::find(chosen.begin(), chosen.end(), own[kind]) != chosen.end();
      if ((distinct && !taken && !own[kind].empty()) || kind + 1 == own.size()) {
        chosen.push_back(own[kind]);
        break;
      }
    }
  }
  return chosen;
}

}  // namespace lowrank::cli
