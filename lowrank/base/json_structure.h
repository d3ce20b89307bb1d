// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <unordered_set>
#include <vector>

namespace lowrank {

// Watches while a JSON text is parsed: nlohmann's parser calls it for each beginning, key and end. Throws
// Error naming `where` for an object that has a key twice, of which the parser would keep the last, and for a
// text that is nested deeper than any file of ours: to copy or write such a value recurses into it and
// would end in a crash.
class JsonStructure {
 public:
  explicit JsonStructure(std::string where) : where_(std::move(where)) {}

  template <class AnyJson>
  bool operator()(int depth, nlohmann::detail::parse_event_t event, const AnyJson& parsed) {
    using Event = nlohmann::detail::parse_event_t;
    check_depth(depth);
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key) check_key(parsed.template get_ref<const std::string&>());
    return true;
  }

 private:
  void check_depth(int depth) const;
  void check_key(const std::string& key);

  std::string where_;
  std::vector<std::unordered_set<std::string>> keys_;  // of the objects that are open
};

}  // namespace lowrank
