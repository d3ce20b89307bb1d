// SPDX-License-Identifier: Apache-2.0
#include "lowrank/text/checked_json.h"

#include <fmt/format.h>

#include "lowrank/base/error.h"
#include "lowrank/base/json_structure.h"

namespace lowrank::text {

using nlohmann::json;

void CheckedJson::fail(std::string_view rule) const {
  throw Error(fmt::format("{}: {}", place_, rule));
}

std::optional<CheckedJson> CheckedJson::find(const char* key) const {
  if (!value_->is_object()) fail("this must be an object. Mend the file.");
  const auto found = value_->find(key);
  if (found == value_->end() || found->is_null()) return std::nullopt;
  return CheckedJson(*found, fmt::format("{}.{}", place_, key));
}

CheckedJson CheckedJson::at(const char* key) const {
  const std::optional<CheckedJson> found = find(key);
  if (!found) fail(fmt::format("\"{}\" is missing. Mend the file.", key));
  return *found;
}

const json::object_t& CheckedJson::members() const {
  if (!value_->is_object()) fail("this must be an object. Mend the file.");
  return value_->get_ref<const json::object_t&>();
}

std::vector<CheckedJson> CheckedJson::items() const {
  if (!value_->is_array()) fail("this must be a list. Mend the file.");
  std::vector<CheckedJson> all;
  all.reserve(value_->size());
  for (const json& item : *value_) {
    all.emplace_back(item, fmt::format("{}[{}]", place_, all.size()));
  }
  return all;
}

std::string CheckedJson::text() const {
  if (!value_->is_string()) fail("this must be a string. Mend the file.");
  return value_->get<std::string>();
}

bool CheckedJson::flag() const {
  if (!value_->is_boolean()) fail("this must be true or false. Mend the file.");
  return value_->get<bool>();
}

double CheckedJson::number() const {
  if (!value_->is_number()) fail("this must be a number. Mend the file.");
  return value_->get<double>();
}

int64_t CheckedJson::whole(int64_t min, int64_t max) const {
  const bool fits =
      value_->is_number_integer() &&
      !(value_->is_number_unsigned() && value_->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX));
  const int64_t number = fits ? value_->get<int64_t>() : 0;
  if (!fits || number < min || number > max) {
    fail(fmt::format("this must be a whole number from {} to {}. Mend the file.", min, max));
  }
  return number;
}

std::string CheckedJson::text_or(const char* key, std::string absent) const {
  const std::optional<CheckedJson> found = find(key);
  return found ? found->text() : std::move(absent);
}

bool CheckedJson::flag_or(const char* key, bool absent) const {
  const std::optional<CheckedJson> found = find(key);
  return found ? found->flag() : absent;
}

json parse_checked_json(std::string_view text, const std::string& where) {
  JsonStructure structure(where);
  const auto check = [&](int depth, json::parse_event_t event, const json& parsed) {
    return structure(depth, event, parsed);
  };
  try {
    return json::parse(text, check);
  } catch (const json::exception& error) {
    const auto* stopped = dynamic_cast<const json::parse_error*>(&error);
    throw Error(
        fmt::format("{}: this is not JSON{}. The file may be incomplete.", where,
                    stopped ? fmt::format("; the parser stopped at byte {}", stopped->byte) : ""));
  }
}

}  // namespace lowrank::text
