// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace lowrank {

// What the layers without LibTorch (base, text, io, data) throw for bad input. The message is one
// sentence of fact and one of remedy: "<where>: <rule> = <found>; <rule>. <remedy>."
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// The entry of `known` closest to `name` by edit distance, for "did you mean"; empty when nothing
// is within a third of the name's length (at least 2 edits).
std::string nearest_name(std::string_view name, const std::vector<std::string>& known);

}  // namespace lowrank
