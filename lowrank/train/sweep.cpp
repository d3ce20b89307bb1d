// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/sweep.h"

#include <fmt/format.h>

#include <algorithm>
#include <cctype>
#include <cstring>
#include <set>

namespace lowrank::train {
namespace {

// The text cut at commas that stand within no bracket, brace or quote.
std::vector<std::string> split_values(const std::string& text) {
  std::vector<std::string> values(1);
  int depth = 0;
  char quote = 0;
  for (const char c : text) {
    if (quote) {
      if (c == quote) quote = 0;
    } else if (c == '"' || c == '\'') {
      quote = c;
    } else if (c == '[' || c == '{') {
      ++depth;
    } else if (c == ']' || c == '}') {
      --depth;
    } else if (c == ',' && depth == 0) {
      values.emplace_back();
      continue;
    }
    values.back() += c;
  }
  return values;
}

std::string trimmed(const std::string& text) {
  const size_t begin = text.find_first_not_of(' ');
  if (begin == std::string::npos) return {};
  return text.substr(begin, text.find_last_not_of(' ') - begin + 1);
}

std::string shown(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

// "nystrom landmarks 32" of { kind = "nystrom", landmarks = 32 }: words as they are, the rest with their keys.
std::string label_of(const std::string& value) {
  Json json;
  set_config_value(json, "value=" + value);
  const Json& read = json["value"];
  if (!read.is_object()) return shown(read);
  std::string words, rest;
  for (const auto& [key, entry] : read.items()) {
    if (entry.is_string()) {
      words += " " + shown(entry);
    } else {
      rest += " " + key + " " + shown(entry);
    }
  }
  return trimmed(words + rest);
}

// What a folder may be named.
std::string file_name(std::string text) {
  for (char& c : text) {
    const bool plain = std::isalnum(static_cast<unsigned char>(c)) || std::strchr("._-=,+", c);
    if (!plain) c = '-';
  }
  return text;
}

std::string last_part(const std::string& key) { return key.substr(key.rfind('.') + 1); }

std::string folder_name(const std::vector<SweepAxis>& axes, const SweepRun& run) {
  std::string name;
  for (size_t i = 0; i < axes.size(); ++i) {
    name += (i == 0 ? "" : ",") + last_part(axes[i].key) + "=" + run.labels[i];
  }
  return file_name(name);
}

void check_axes(const std::vector<SweepAxis>& axes) {
  std::set<std::string> keys;
  for (const SweepAxis& axis : axes) {
    if (keys.insert(axis.key).second) continue;
    throw Error(
        fmt::format("--over {}: the key is given twice. Put all its values into one.", axis.key));
  }
}

SweepRun make_run(const std::filesystem::path& recipe, std::vector<std::string> settings,
                  const std::vector<SweepAxis>& axes, const std::vector<size_t>& chosen) {
  SweepRun run;
  for (size_t i = 0; i < axes.size(); ++i) {
    const std::string& value = axes[i].values[chosen[i]];
    settings.push_back(axes[i].key + "=" + value);
    run.values.push_back(value);
    run.labels.push_back(label_of(value));
  }
  run.recipe = load_recipe(recipe, settings);
  run.recipe.train.output =
      (std::filesystem::path(run.recipe.train.output) / folder_name(axes, run)).string();
  return run;
}

// The next combination, the last axis fastest; false after the last one.
bool advance(std::vector<size_t>& chosen, const std::vector<SweepAxis>& axes) {
  for (size_t i = axes.size(); i-- > 0;) {
    if (++chosen[i] < axes[i].values.size()) return true;
    chosen[i] = 0;
  }
  return false;
}

}  // namespace

SweepAxis parse_axis(const std::string& text) {
  const size_t equals = text.find('=');
  SweepAxis axis;
  if (equals != std::string::npos) {
    axis.key = trimmed(text.substr(0, equals));
    for (const std::string& value : split_values(text.substr(equals + 1))) {
      axis.values.push_back(trimmed(value));
    }
  }
  const auto is_empty = [](const std::string& value) { return value.empty(); };
  if (axis.key.empty() || std::any_of(axis.values.begin(), axis.values.end(), is_empty)) {
    throw Error(
        fmt::format("--over {}: it is written key=value,value, as in model.layers=1,2,4.", text));
  }
  std::set<std::string> distinct;
  for (const std::string& value : axis.values) {
    if (distinct.insert(value).second) continue;
    throw Error(fmt::format("--over {}: the value {} occurs twice. Remove one.", text, value));
  }
  return axis;
}

std::vector<SweepRun> sweep_runs(const std::filesystem::path& recipe,
                                 const std::vector<std::string>& settings,
                                 const std::vector<SweepAxis>& axes) {
  check_axes(axes);
  std::vector<SweepRun> runs;
  std::set<std::string> folders;
  std::vector<size_t> chosen(axes.size(), 0);
  do {
    runs.push_back(make_run(recipe, settings, axes, chosen));
    const std::string& folder = runs.back().recipe.train.output;
    if (folders.insert(folder).second) continue;
    throw Error(
        fmt::format("--over: two runs would be saved in {}. Write their values apart.", folder));
  } while (advance(chosen, axes));
  return runs;
}

}  // namespace lowrank::train
