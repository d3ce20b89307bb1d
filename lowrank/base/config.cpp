// SPDX-License-Identifier: Apache-2.0
#include "lowrank/base/config.h"

#include <fmt/format.h>

#include <toml++/toml.h>
#include <algorithm>
#include <set>
#include <sstream>

#include "lowrank/base/json_structure.h"

namespace lowrank {
namespace {

std::string shown(const Json& value) {
  std::string text = value.dump(-1, ' ', false, Json::error_handler_t::replace);
  if (text.size() > 60) text = text.substr(0, 57) + "...";
  return text;
}

bool is_whole(const Json& json, int64_t min, int64_t max) {
  if (!json.is_number_integer()) return false;
  if (json.is_number_unsigned() && json.get<uint64_t>() > INT64_MAX) return false;
  return json.get<int64_t>() >= min && json.get<int64_t>() <= max;
}

class Reader final : public ConfigFields {
 public:
  Reader(const Json& json, std::string where, std::string prefix)
      : json_(json), where_(std::move(where)), prefix_(std::move(prefix)) {
    if (!json.is_object()) {
      throw Error(fmt::format("{} = {}; it must be a table of keys.", place(), shown(json)));
    }
  }

  void number(const char* key, int64_t& value, int64_t min, int64_t max) override {
    const Json* found = find(key);
    if (!found) return;
    if (!is_whole(*found, min, max)) {
      fail(key, *found, fmt::format("it must be a whole number from {} to {}", min, max));
    }
    value = found->get<int64_t>();
  }

  void number(const char* key, double& value, double min, double max) override {
    const Json* found = find(key);
    if (!found) return;
    if (!found->is_number() || !(found->get<double>() >= min && found->get<double>() <= max)) {
      fail(key, *found, fmt::format("it must be a number from {} to {}", min, max));
    }
    value = found->get<double>();
  }

  void number(const char* key, std::optional<double>& value, double min, double max) override {
    const Json* found = find(key);
    if (!found) return;
    value.reset();
    if (found->is_null()) return;
    double read = 0;
    number(key, read, min, max);
    value = read;
  }

  void flag(const char* key, bool& value) override {
    const Json* found = find(key);
    if (!found) return;
    if (!found->is_boolean()) fail(key, *found, "it must be true or false");
    value = found->get<bool>();
  }

  void text(const char* key, std::string& value) override {
    const Json* found = find(key);
    if (!found) return;
    if (!found->is_string()) fail(key, *found, "it must be a string");
    value = found->get<std::string>();
  }

  void numbers(const char* key, std::vector<int64_t>& value, int64_t min, int64_t max) override {
    const Json* found = find(key);
    if (!found) return;
    const auto valid = [&](const Json& element) { return is_whole(element, min, max); };
    if (!found->is_array() || !std::all_of(found->begin(), found->end(), valid)) {
      fail(key, *found, fmt::format("it must be a list of whole numbers from {} to {}", min, max));
    }
    value = found->get<std::vector<int64_t>>();
  }

  void texts(const char* key, std::vector<std::string>& value) override {
    const Json* found = find(key);
    if (!found) return;
    if (found->is_string()) {
      value = {found->get<std::string>()};
      return;
    }
    const auto valid = [](const Json& element) { return element.is_string(); };
    if (!found->is_array() || !std::all_of(found->begin(), found->end(), valid)) {
      fail(key, *found, "it must be a list of strings");
    }
    value = found->get<std::vector<std::string>>();
  }

  void object(const char* key, const std::function<void(ConfigFields&)>& inner) override {
    const Json* found = find(key);
    if (found) read_inner(*found, inner, key);
  }

  void objects(const char* key, const std::function<void(size_t)>& resize, size_t,
               const std::function<void(ConfigFields&, size_t)>& inner) override {
    const Json* found = find(key);
    if (!found) return;
    if (found->is_object()) {
      resize(1);
      read_inner(
          *found, [&](ConfigFields& fields) { inner(fields, 0); }, key);
      return;
    }
    if (!found->is_array() || found->empty()) {
      fail(key, *found, "it must be a table or a list of tables");
    }
    resize(found->size());
    for (size_t i = 0; i < found->size(); ++i) {
      read_inner((*found)[i], [&](ConfigFields& fields) { inner(fields, i); },
                 fmt::format("{}[{}]", key, i));
    }
  }

  void json(const char* key, Json& value) override {
    const Json* found = find(key);
    if (found) value = *found;
  }

  void required(const char* key) override {
    if (json_.contains(key)) return;
    throw Error(
        fmt::format("{}: \"{}\" is missing; it has no default. Add it.", where_, prefix_ + key));
  }

  bool reading() const override { return true; }

  std::string place() const override {
    if (prefix_.empty()) return where_;
    return where_ + ": " + prefix_.substr(0, prefix_.size() - 1);
  }

  void finish() const {
    for (const auto& [key, value] : json_.items()) {
      if (known_.count(key)) continue;
      const std::string nearest = nearest_name(key, {known_.begin(), known_.end()});
      std::string remedy = fmt::format("Known here: {}.", fmt::join(known_, ", "));
      if (!nearest.empty()) remedy = fmt::format("Did you mean \"{}\"?", prefix_ + nearest);
      throw Error(fmt::format("{}: key \"{}\" is not known. {}", where_, prefix_ + key, remedy));
    }
  }

 protected:
  void choice_name(const char* key, std::string& name,
                   const std::vector<std::string>& known) override {
    const Json* found = find(key);
    if (!found) return;
    if (found->is_string() &&
        std::find(known.begin(), known.end(), found->get<std::string>()) != known.end()) {
      name = found->get<std::string>();
      return;
    }
    std::string rule = fmt::format("it must be one of {}", fmt::join(known, ", "));
    if (found->is_string()) {
      const std::string nearest = nearest_name(found->get<std::string>(), known);
      if (!nearest.empty()) rule += fmt::format(". Did you mean \"{}\"?", nearest);
    }
    fail(key, *found, rule);
  }

 private:
  const Json* find(const char* key) {
    known_.insert(key);
    const auto found = json_.find(key);
    return found == json_.end() ? nullptr : &*found;
  }

  void read_inner(const Json& json, const std::function<void(ConfigFields&)>& inner,
                  const std::string& key) {
    Reader reader(json, where_, prefix_ + key + ".");
    inner(reader);
    reader.finish();
  }

  [[noreturn]] void fail(const char* key, const Json& found, const std::string& rule) const {
    const bool ended = rule.ends_with('?');
    throw Error(fmt::format("{}: {} = {}; {}{}", where_, prefix_ + key, shown(found), rule,
                            ended ? "" : "."));
  }

  const Json& json_;
  std::string where_;
  std::string prefix_;
  std::set<std::string> known_;
};

class Writer final : public ConfigFields {
 public:
  void number(const char* key, int64_t& value, int64_t, int64_t) override { json_[key] = value; }
  void number(const char* key, double& value, double, double) override { json_[key] = value; }
  void number(const char* key, std::optional<double>& value, double, double) override {
    if (value) json_[key] = *value;
  }
  void flag(const char* key, bool& value) override { json_[key] = value; }
  void text(const char* key, std::string& value) override { json_[key] = value; }
  void numbers(const char* key, std::vector<int64_t>& value, int64_t, int64_t) override {
    json_[key] = value;
  }
  void texts(const char* key, std::vector<std::string>& value) override { json_[key] = value; }
  void object(const char* key, const std::function<void(ConfigFields&)>& inner) override {
    json_[key] = write_config(inner);
  }
  void objects(const char* key, const std::function<void(size_t)>&, size_t size,
               const std::function<void(ConfigFields&, size_t)>& inner) override {
    if (size == 0) return;  // an empty list cannot be read
    Json list = Json::array();
    for (size_t i = 0; i < size; ++i) {
      list.push_back(write_config([&](ConfigFields& fields) { inner(fields, i); }));
    }
    json_[key] = list;
  }
  void json(const char* key, Json& value) override { json_[key] = value; }
  void required(const char*) override {}
  bool reading() const override { return false; }
  std::string place() const override { return {}; }

  const Json& result() const { return json_; }

 protected:
  void choice_name(const char* key, std::string& name, const std::vector<std::string>&) override {
    json_[key] = name;
  }

 private:
  Json json_ = Json::object();
};

Json to_json(const toml::node& node) {
  if (const auto* table = node.as_table()) {
    Json json = Json::object();
    for (const auto& [key, value] : *table) json[std::string(key.str())] = to_json(value);
    return json;
  }
  if (const auto* array = node.as_array()) {
    Json json = Json::array();
    for (const auto& value : *array) json.push_back(to_json(value));
    return json;
  }
  if (const auto value = node.value_exact<int64_t>()) return *value;
  if (const auto value = node.value_exact<double>()) return *value;
  if (const auto value = node.value_exact<bool>()) return *value;
  if (const auto value = node.value_exact<std::string>()) return *value;
  std::ostringstream text;
  node.visit([&](const auto& other) {
    if constexpr (toml::is_value<decltype(other)>) text << other;
  });
  return text.str();  // dates and times, which no key of ours takes
}

}  // namespace

void read_config(const Json& json, const std::string& where, const Describe& describe) {
  Reader reader(json, where, "");
  describe(reader);
  reader.finish();
}

Json write_config(const Describe& describe) {
  Writer writer;
  describe(writer);
  return writer.result();
}

Json parse_json(const std::string& text, const std::string& where) {
  JsonStructure structure(where);
  const auto check = [&](int depth, Json::parse_event_t event, const Json& parsed) {
    return structure(depth, event, parsed);
  };
  try {
    return Json::parse(text, check);
  } catch (const Json::out_of_range&) {
    throw Error(
        fmt::format("{}: this JSON holds a number too large to read. Mend the file.", where));
  } catch (const Json::parse_error& error) {
    const size_t end = std::min(error.byte, text.size());
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<int64_t>(end), '\n');
    throw Error(
        fmt::format("{}:{}: this is not JSON. Mend the file; the parser stopped at byte {}.", where,
                    line, error.byte));
  }
}

Json parse_toml(const std::string& text, const std::string& where) {
  try {
    return to_json(toml::parse(text, where));
  } catch (const toml::parse_error& error) {
    throw Error(fmt::format("{}:{}: this is not TOML: {}.", where, error.source().begin.line,
                            error.description()));
  }
}

void set_config_value(Json& json, const std::string& setting) {
  const size_t equals = setting.find('=');
  const std::string path = "." + setting.substr(0, equals) + ".";
  if (equals == std::string::npos || path.find("..") != std::string::npos) {
    throw Error(
        fmt::format("--set {}: a setting is written key=value, as in train.steps=100.", setting));
  }
  const std::string text = setting.substr(equals + 1);
  Json value;
  try {
    value = parse_toml("value = " + text, "--set")["value"];
  } catch (const Error&) {
    value = text;  // a bare word is a string
  }
  Json* node = &json;
  std::string table = "the configuration";
  std::istringstream keys(setting.substr(0, equals));
  for (std::string key; std::getline(keys, key, '.');) {
    if (!node->is_object() && !node->is_null()) {
      throw Error(fmt::format("--set {}: \"{}\" is not a table.", setting, table));
    }
    node = &(*node)[key];
    table = key;
  }
  *node = value;
}

}  // namespace lowrank
