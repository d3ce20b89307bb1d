// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace lowrank::io {

// A Python value as a pickle describes it. A call is what the pickle asks Python to do: to call a
// function or to make an object of a class. Here it stays a description.
struct PickleValue {
  enum class Kind {
    kNone,
    kBool,
    kInt,
    kFloat,
    kText,
    kBytes,
    kList,
    kTuple,
    kSet,
    kDict,
    kGlobal,
    kCall,
    kPersistent,
  };
  Kind kind = Kind::kNone;
  int64_t integer = 0;  // of a bool or an int
  double real = 0;
  std::string text;  // text or bytes; "module.name" of a global, or of what a call calls
  // Elements. Of a dict: key, value, key, value. Of a call: its arguments as a tuple and, for an
  // object, the state that it is given. Of a persistent value: what it is known by.
  std::vector<const PickleValue*> items;
};

// "int 3", "text", "list of 4", "argparse.Namespace": what a value is, in a few words.
std::string described(const PickleValue& value);

// The entry of a dict under a key that is text; null where there is none or `dict` is none.
const PickleValue* find(const PickleValue& dict, std::string_view key);

// Reads one pickle of protocol 2 to 5, the first in `bytes`. Nothing in it is run. `is_known` is
// asked about every global, as "module.name", before it is used. OrderedDict, defaultdict and
// Counter become dicts; a whole number of more than 64 bits becomes a call of builtins.int. Values may
// contain each other in circles. Throws lowrank::Error, which begins with `where`, for a global that
// is not known and for anything that pickle itself would not write.
class Pickle {
 public:
  using IsKnown = std::function<bool(const std::string& global)>;
  Pickle(std::string_view bytes, std::string where, const IsKnown& is_known);
  Pickle(Pickle&&) = default;

  const PickleValue& content() const { return *content_; }
  const std::deque<PickleValue>& values() const { return values_; }  // all of them
  size_t size() const { return size_; }                              // the bytes that it takes

 private:
  friend class PickleReader;
  std::deque<PickleValue> values_;  // own each other by pointers, which a deque keeps valid
  const PickleValue* content_ = nullptr;
  size_t size_ = 0;
};

}  // namespace lowrank::io
