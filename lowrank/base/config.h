// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "lowrank/base/error.h"

namespace lowrank {

using Json = nlohmann::ordered_json;

// One description of a configuration struct that reads it, checks it and writes it.
//
// A struct describes itself once:
//
//   void describe(ConfigFields& fields, TrainConfig& c) {
//     fields.number("steps", c.steps, 1, 1'000'000'000);
//     fields.choice("schedule", c.schedule, {{"linear", Schedule::kLinear}, ...});
//   }
//
// and read_config / write_config below do the rest, so that a key cannot be read and not written.
// Every key is optional when read (the member keeps its default) unless `required` is called on it.
class ConfigFields {
 public:
  virtual ~ConfigFields() = default;

  virtual void number(const char* key, int64_t& value, int64_t min, int64_t max) = 0;
  virtual void number(const char* key, double& value, double min, double max) = 0;
  // Absent or null stays empty.
  virtual void number(const char* key, std::optional<double>& value, double min, double max) = 0;
  virtual void flag(const char* key, bool& value) = 0;
  virtual void text(const char* key, std::string& value) = 0;
  virtual void numbers(const char* key, std::vector<int64_t>& value, int64_t min, int64_t max) = 0;
  virtual void texts(const char* key, std::vector<std::string>& value) = 0;
  // A nested object, described by `inner`.
  virtual void object(const char* key, const std::function<void(ConfigFields&)>& inner) = 0;
  // A list of objects; a single object reads as a list of one. `inner` gets the element's index.
  // `size` is the list's length: set when reading, taken from when writing.
  virtual void objects(const char* key, const std::function<void(size_t size)>& resize, size_t size,
                       const std::function<void(ConfigFields&, size_t index)>& inner) = 0;
  // Any JSON value, unchecked: for a table whose keys are data, such as class names.
  virtual void json(const char* key, Json& value) = 0;
  // Reading: throws unless one of `keys` is present. Writing: nothing.
  virtual void required(const char* key) = 0;
  // True while reading: for checks across fields, which belong at the end of describe().
  virtual bool reading() const = 0;
  // "recipe.toml: model.attention", the place a message names.
  virtual std::string place() const = 0;

  template <class Enum>
  void choice(const char* key, Enum& value,
              const std::vector<std::pair<std::string, Enum>>& names) {
    std::string name;
    std::vector<std::string> known;
    for (const auto& [text_, entry] : names) {
      known.push_back(text_);
      if (entry == value) name = text_;
    }
    choice_name(key, name, known);
    for (const auto& [text_, entry] : names) {
      if (text_ == name) value = entry;
    }
  }

 protected:
  // Throws unless the read name is in `known`.
  virtual void choice_name(const char* key, std::string& name,
                           const std::vector<std::string>& known) = 0;
};

using Describe = std::function<void(ConfigFields&)>;

// Reads `json` (an object) through `describe`. `where` names the file in messages. Throws Error for
// a missing required key, a wrong type, a value out of range, and an unknown key (with the nearest
// known one).
void read_config(const Json& json, const std::string& where, const Describe& describe);

// The inverse: every described key, in the order described.
Json write_config(const Describe& describe);

// Parses JSON text; throws Error with `where` and line, and for what json_structure.h refuses.
Json parse_json(const std::string& text, const std::string& where);

// Reads a TOML file's text into the JSON of the same structure; throws Error with `where` and line.
Json parse_toml(const std::string& text, const std::string& where);

// Applies "model.attention.landmarks=32" (a TOML value; a bare word is a string) to `json`,
// creating tables on the way. Throws Error naming the setting.
void set_config_value(Json& json, const std::string& setting);

}  // namespace lowrank
