// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace lowrank::text {

// A value of a JSON file that others wrote, and its place in it. Reading it as something that it is
// not, or a member that it lacks, throws Error naming the place. Borrows the document.
class CheckedJson {
 public:
  CheckedJson(const nlohmann::json& value, std::string place)
      : value_(&value), place_(std::move(place)) {}

  const nlohmann::json& value() const { return *value_; }
  const std::string& place() const { return place_; }

  // Members of an object. A null counts as absent.
  CheckedJson at(const char* key) const;
  std::optional<CheckedJson> find(const char* key) const;
  const nlohmann::json::object_t& members() const;
  std::vector<CheckedJson> items() const;  // of a list

  std::string text() const;
  bool flag() const;
  double number() const;
  int64_t whole(int64_t min = std::numeric_limits<int64_t>::min(),
                int64_t max = std::numeric_limits<int64_t>::max()) const;

  // The same of a member, or a default where it is absent.
  std::string text_or(const char* key, std::string absent) const;
  bool flag_or(const char* key, bool absent) const;

  // "<place>: <rule>"
  [[noreturn]] void fail(std::string_view rule) const;

 private:
  const nlohmann::json* value_;
  std::string place_;
};

// Parses a file's text; throws Error naming it for what is not JSON, for an object that has a key
// twice, and for one nested deeper than any such file.
nlohmann::json parse_checked_json(std::string_view text, const std::string& where);

}  // namespace lowrank::text
