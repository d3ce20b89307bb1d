// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/read_texts.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string_view>

#include "lowrank/base/config.h"
#include "lowrank/base/file.h"

namespace lowrank::serve {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

std::string text_of(const Json& object, const std::string& key, const std::string& where) {
  const auto found = object.find(key);
  if (found == object.end()) {
    throw Error(
        fmt::format("{}: \"{}\" is missing; it holds the text. Add it, or name the key that does.",
                    where, key));
  }
  if (!found->is_string()) {
    throw Error(fmt::format("{}: \"{}\" is of type {}; a text is a string. Quote it.", where, key,
                            found->type_name()));
  }
  return *found;
}

TextInput read_object(const std::string& line, const std::string& where,
                      const ReadOptions& options) {
  const Json object = parse_json(line, where);
  if (!object.is_object()) {
    throw Error(
        fmt::format("{}: the line is JSON of type {}; it must be an object. Write it as one, or "
                    "read whole lines.",
                    where, object.type_name()));
  }
  TextInput input{.text = text_of(object, options.text_key, where), .source = where};
  const auto pair = object.find(options.pair_key);
  if (pair != object.end() && !pair->is_null())
    input.pair = text_of(object, options.pair_key, where);
  return input;
}

void read_lines(std::istream& stream, const std::string& name, const ReadOptions& options,
                const TakeText& take, const Complain& complain) {
  int64_t number = 0;
  for (std::string line; std::getline(stream, line);) {
    if (++number == 1 && line.starts_with(kByteOrderMark)) line.erase(0, kByteOrderMark.size());
    if (line.ends_with('\r')) line.pop_back();
    TextInput input{.text = {}, .source = fmt::format("{}:{}", name, number)};
    if (options.format == TextFormat::kLines) {
      input.text = std::move(line);
    } else {
      if (line.find_first_not_of(" \t") == std::string::npos) continue;
      try {
        input = read_object(line, input.source, options);
      } catch (const Error& error) {
        complain(error.what());
        continue;
      }
    }
    take(std::move(input));
  }
}

void complain_of_folder(const fs::path& folder, const std::error_code& error,
                        const Complain& complain) {
  complain(fmt::format("{}: the folder cannot be read: {}. Check its permissions.", folder.string(),
                       error.message()));
}

void add_below(const fs::path& folder, std::vector<fs::path>& files, const Complain& complain) {
  std::error_code error;
  std::vector<fs::directory_entry> entries;
  for (fs::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    if (!entry->path().filename().string().starts_with('.')) entries.push_back(*entry);
  }
  if (error) complain_of_folder(folder, error, complain);
  std::sort(entries.begin(), entries.end());
  for (const fs::directory_entry& entry : entries) {
    std::error_code ignored;
    if (entry.is_directory(ignored)) {
      if (!entry.is_symlink(ignored)) add_below(entry.path(), files, complain);
    } else if (entry.is_regular_file(ignored) || !entry.exists(ignored)) {
      files.push_back(entry.path());  // a link that leads nowhere too: who reads it names it
    }
  }
}

}  // namespace

void read_texts(std::istream& stream, const std::string& name, const ReadOptions& options,
                const TakeText& take, const Complain& complain) {
  if (options.format == TextFormat::kWhole) {
    TextInput input{.text = {std::istreambuf_iterator<char>(stream), {}}, .source = name};
    if (!stream.bad()) take(std::move(input));
  } else {
    read_lines(stream, name, options, take, complain);
  }
  if (stream.bad()) {
    complain(fmt::format("{}: reading failed before its end. Check the disk or the pipe.", name));
  }
}

void read_texts(const fs::path& file, const ReadOptions& options, const TakeText& take,
                const Complain& complain) {
  if (options.format == TextFormat::kWhole) {
    TextInput input{.text = {}, .source = file.string()};
    try {
      input.text = read_file(file);
    } catch (const Error& error) {
      complain(error.what());
      return;
    }
    take(std::move(input));
    return;
  }
  std::ifstream stream(file, std::ios::binary);
  if (!stream || fs::is_directory(file)) {
    complain(fmt::format("{}: the file cannot be opened. Check its name and permissions.",
                         file.string()));
    return;
  }
  read_texts(stream, file.string(), options, take, complain);
}

std::vector<fs::path> find_texts(const std::vector<std::string>& paths, const Complain& complain) {
  std::vector<fs::path> files;
  for (const fs::path path : paths) {
    std::error_code ignored;
    if (fs::is_directory(path, ignored)) {
      add_below(path, files, complain);
    } else {
      files.push_back(path);
    }
  }
  return files;
}

}  // namespace lowrank::serve
