// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/glob.h"

#include <fmt/format.h>
#include <fnmatch.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <span>

#include "lowrank/base/error.h"

namespace lowrank::data {
namespace {

namespace fs = std::filesystem;

using Names = std::span<const std::string>;

bool has_wildcard(std::string_view pattern) {
  return pattern.find_first_of("*?[") != std::string_view::npos;
}

bool name_matches(const std::string& pattern, const std::string& name) {
  return fnmatch(pattern.c_str(), name.c_str(), FNM_PERIOD) == 0;
}

std::vector<std::string> names_of(const fs::path& path) {
  std::vector<std::string> names;
  for (const fs::path& name : path) {
    if (!name.empty()) names.push_back(name.string());
  }
  return names;
}

// Whether the pattern matches the path or a folder that it lies in.
bool matches_beginning(Names pattern, Names path) {
  if (pattern.empty()) return true;
  if (pattern[0] == "**") {
    return matches_beginning(pattern.subspan(1), path) ||
           (!path.empty() && matches_beginning(pattern, path.subspan(1)));
  }
  return !path.empty() && name_matches(pattern[0], path[0]) &&
         matches_beginning(pattern.subspan(1), path.subspan(1));
}

class Walk {
 public:
  Walk(std::set<std::string>& found, std::vector<std::string>& notes)
      : found_(found), notes_(notes) {}

  // Adds the files below `folder` (empty: the working directory) that the names match.
  void visit(const fs::path& folder, Names names) {
    const Names rest = names.subspan(1);
    if (names[0] == "**") {
      visit(folder, rest);
      for (const fs::directory_entry& entry : entries(folder)) {
        std::error_code error;
        const bool hidden = entry.path().filename().string().starts_with('.');
        if (!hidden && !entry.is_symlink(error) && entry.is_directory(error)) {
          visit(entry.path(), names);
        }
      }
      return;
    }
    if (!has_wildcard(names[0])) {
      step(folder / names[0], rest);
      return;
    }
    for (const fs::directory_entry& entry : entries(folder)) {
      if (name_matches(names[0], entry.path().filename().string())) step(entry.path(), rest);
    }
  }

 private:
  void step(const fs::path& path, Names rest) {
    std::error_code error;
    const fs::file_status status = fs::status(path, error);
    if (!rest.empty()) {
      if (fs::is_directory(status)) visit(path, rest);
      return;
    }
    const bool broken_link = !fs::exists(status) && fs::is_symlink(fs::symlink_status(path, error));
    if (fs::is_regular_file(status) || broken_link) {
      found_.insert(path.lexically_normal().string());
    }
  }

  std::vector<fs::directory_entry> entries(const fs::path& folder) {
    std::vector<fs::directory_entry> result;
    std::error_code error;
    fs::directory_iterator entry(folder.empty() ? fs::path(".") : folder, error);
    for (; !error && entry != fs::directory_iterator(); entry.increment(error)) {
      result.push_back(*entry);
    }
    if (error) {
      notes_.push_back(
          fmt::format("{}: this folder cannot be read: {}.", folder.string(), error.message()));
    }
    return result;
  }

  std::set<std::string>& found_;
  std::vector<std::string>& notes_;
};

void add_matches(const std::string& pattern, std::set<std::string>& found,
                 std::vector<std::string>& notes) {
  const fs::path path(pattern);
  std::vector<std::string> names = names_of(path.relative_path());
  std::error_code error;
  const bool whole_folder =
      pattern.ends_with('/') || (!has_wildcard(pattern) && fs::is_directory(path, error));
  if (whole_folder) names.push_back("**");
  if (!names.empty() && names.back() == "**") names.push_back("*");

  std::set<std::string> matches;
  if (!names.empty()) Walk(matches, notes).visit(path.root_path(), names);
  if (matches.empty()) notes.push_back(fmt::format("\"{}\" matches no file.", pattern));
  found.merge(matches);
}

}  // namespace

std::string expand_variables(std::string_view pattern) {
  const auto value_of = [&](const std::string& name) -> std::string {
    if (const char* value = std::getenv(name.c_str())) return value;
    throw Error(
        fmt::format("\"{}\": the environment variable {} is not set. Set it, or write "
                    "${{{}:-default}}.",
                    pattern, name, name));
  };

  std::string result;
  std::string_view rest = pattern;
  if (rest == "~" || rest.starts_with("~/")) {
    result = value_of("HOME");
    rest.remove_prefix(1);
  }
  while (true) {
    const size_t start = rest.find("${");
    result += rest.substr(0, start);
    if (start == std::string_view::npos) return result;
    const size_t end = rest.find('}', start);
    if (end == std::string_view::npos) {
      throw Error(fmt::format("\"{}\": \"${{\" has no \"}}\". Close it.", pattern));
    }
    const std::string_view inner = rest.substr(start + 2, end - start - 2);
    const size_t divider = inner.find(":-");
    const std::string name(inner.substr(0, divider));
    const char* value = std::getenv(name.c_str());
    if (divider == std::string_view::npos) {
      result += value_of(name);
    } else {
      result += value && *value ? std::string_view(value) : inner.substr(divider + 2);
    }
    rest.remove_prefix(end + 1);
  }
}

std::vector<std::string> find_files(const std::vector<std::string>& patterns,
                                    std::vector<std::string>& notes) {
  std::set<std::string> found;
  std::vector<std::vector<std::string>> excluded;
  for (const std::string& pattern : patterns) {
    if (!pattern.starts_with('!')) {
      add_matches(expand_variables(pattern), found, notes);
      continue;
    }
    const std::string left_out = expand_variables(std::string_view(pattern).substr(1));
    excluded.push_back(names_of(fs::path(left_out).lexically_normal()));
    if (left_out.find('/') == std::string::npos)
      excluded.back().insert(excluded.back().begin(), "**");
  }

  std::vector<std::string> result;
  for (const std::string& file : found) {
    const std::vector<std::string> names = names_of(file);
    const bool left_out = std::any_of(excluded.begin(), excluded.end(), [&](const auto& pattern) {
      return matches_beginning(pattern, names);
    });
    if (!left_out) result.push_back(file);
  }
  return result;
}

}  // namespace lowrank::data
