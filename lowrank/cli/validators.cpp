// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/validators.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

#include "lowrank/base/error.h"

namespace lowrank::cli {

CLI::Validator whole_number(int64_t min, int64_t max) {
  const auto check = [=](std::string& text) -> std::string {
    int64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    const bool whole = error == std::errc() && end == text.data() + text.size();
    if (whole && value >= min && value <= max) return "";
    return fmt::format("{} is not a whole number from {} to {}.", text, min, max);
  };
  return CLI::Validator(check, fmt::format("{} to {}", min, max));
}

CLI::Validator one_of(const std::vector<std::string>& names) {
  const auto check = [names](std::string& text) -> std::string {
    if (std::find(names.begin(), names.end(), text) != names.end()) return "";
    const std::string near = nearest_name(text, names);
    return fmt::format("{} is not one of {}.{}", text, fmt::join(names, ", "),
                       near.empty() ? "" : fmt::format(" Did you mean {}?", near));
  };
  return CLI::Validator(check, fmt::format("{}", fmt::join(names, "|")));
}

}  // namespace lowrank::cli
