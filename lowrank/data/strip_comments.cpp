// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/strip_comments.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <set>

namespace lowrank::data {
namespace {

enum class Language { kUnknown, kC, kShell, kCMake, kPython, kPerl };

const std::set<std::string_view> kCExtensions = {
    ".c",   ".cc",  ".cpp", ".cxx", ".cu",  ".cuh", ".h",    ".hh", ".hpp",   ".hxx",
    ".inc", ".inl", ".ipp", ".tcc", ".tpp", ".m",   ".mm",   ".cs", ".java",  ".js",
    ".jsx", ".ts",  ".tsx", ".go",  ".rs",  ".kt",  ".dart", ".S",  ".swift", ".scala"};
const std::set<std::string_view> kShellExtensions = {".sh",  ".bash", ".zsh", ".toml", ".yaml",
                                                     ".yml", ".cfg",  ".mk",  ".r",    ".R",
                                                     ".jl",  ".rb",   ".tcl", ".awk",  ".conf"};
const std::set<std::string_view> kPythonExtensions = {".py", ".pyi", ".pyx", ".pxd"};
const std::set<std::string_view> kPerlExtensions = {".pl", ".pm", ".pod", ".t"};
const std::set<std::string_view> kShellNames = {"Makefile", "Dockerfile"};

Language language_of_shebang(std::string_view line) {
  if (line.find("python") != std::string_view::npos) return Language::kPython;
  if (line.find("perl") != std::string_view::npos) return Language::kPerl;
  return Language::kShell;
}

Language language_of(std::string_view text, std::filesystem::path path) {
  if (path.extension() == ".in") path.replace_extension();  // config.h.in, Config.cmake.in
  const std::string name = path.filename().string(), extension = path.extension().string();
  if (extension == ".cmake" || name == "CMakeLists.txt") return Language::kCMake;
  if (kCExtensions.count(extension)) return Language::kC;
  if (kPythonExtensions.count(extension)) return Language::kPython;
  if (kPerlExtensions.count(extension)) return Language::kPerl;
  if (kShellExtensions.count(extension) || kShellNames.count(name)) return Language::kShell;
  if (text.starts_with("#!")) return language_of_shebang(text.substr(0, text.find('\n')));
  if (text.starts_with("//") || text.starts_with("/*")) return Language::kC;  // <vector>
  return Language::kUnknown;
}

// What follows the first `end` at or after `from`; nothing when it never comes.
std::string_view after(std::string_view text, std::string_view end, size_t from) {
  const size_t found = text.find(end, from);
  return found == std::string_view::npos ? std::string_view() : text.substr(found + end.size());
}

// "#[[ ... ]]", with any number of equal signs between the brackets. Returns `text` itself when it
// does not begin with one, as the functions below do with theirs.
std::string_view skip_cmake_bracket(std::string_view text) {
  if (!text.starts_with("#[")) return text;
  const size_t second = text.find_first_not_of('=', 2);
  if (second == std::string_view::npos || text[second] != '[') return text;
  std::string end(text.substr(1, second));  // "[==["
  std::replace(end.begin(), end.end(), '[', ']');
  return after(text, end, second + 1);
}

// A string that is a statement of its own.
std::string_view skip_docstring(std::string_view text) {
  const size_t start = text.find_first_not_of("rRuU");
  if (start == std::string_view::npos || start > 1) return text;
  const char quote = text[start];
  if (quote != '"' && quote != '\'') return text;
  const bool triple = text.substr(start, 3) == std::string(3, quote);
  const std::string end(triple ? 3 : 1, quote);
  for (size_t i = start + end.size(); i < text.size(); ++i) {
    if (text[i] == '\\') {
      ++i;
    } else if (text[i] == '\n' && !triple) {
      return text;
    } else if (text.substr(i, end.size()) == end) {
      std::string_view rest = text.substr(i + end.size());
      rest.remove_prefix(std::min(rest.find_first_not_of(" \t\r;"), rest.size()));
      return rest.empty() || rest[0] == '\n' || rest[0] == '#' ? rest : text;
    }
  }
  return triple ? std::string_view() : text;
}

// From "=pod" or any other command to the line of "=cut".
std::string_view skip_pod(std::string_view text) {
  const bool pod =
      text.size() > 1 && text[0] == '=' && std::isalpha(static_cast<unsigned char>(text[1]));
  if (!pod) return text;
  const std::string_view rest = text.starts_with("=cut") ? text : after(text, "\n=cut", 0);
  return after(rest, "\n", 0);
}

std::string_view skip_comment(std::string_view text, Language language) {
  if (language == Language::kUnknown) return text;
  if (language == Language::kC) {
    if (text.starts_with("/*")) return after(text, "*/", 2);
    return text.starts_with("//") ? after(text, "\n", 2) : text;
  }
  if (language == Language::kCMake) {
    const std::string_view rest = skip_cmake_bracket(text);
    if (rest.size() < text.size()) return rest;
  }
  if (text.starts_with('#')) return after(text, "\n", 1);
  if (language == Language::kPython) return skip_docstring(text);
  if (language == Language::kPerl) return skip_pod(text);
  return text;
}

std::string_view skip_space(std::string_view text) {
  const size_t start = text.find_first_not_of(" \t\r\n\f\v");
  return start == std::string_view::npos ? std::string_view() : text.substr(start);
}

}  // namespace

std::string_view strip_leading_comments(std::string_view text, const std::string& path) {
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
  const Language language = language_of(text, path);
  text = skip_space(text);
  while (true) {
    const std::string_view rest = skip_space(skip_comment(text, language));
    if (rest.size() == text.size()) return text;
    text = rest;
  }
}

}  // namespace lowrank::data
