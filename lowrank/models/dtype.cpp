// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/dtype.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>

#include "lowrank/base/error.h"

namespace lowrank::models {
namespace {

constexpr std::array kDtypes = {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble};

}  // namespace

const std::vector<std::string>& dtype_names() {
  static const std::vector<std::string> names = {"float32", "bfloat16", "float16", "float64"};
  return names;
}

at::ScalarType dtype_of(const std::string& name) {
  for (size_t i = 0; i < kDtypes.size(); ++i) {
    if (dtype_names()[i] == name) return kDtypes.at(i);
  }
  throw Error(fmt::format("dtype = \"{}\"; it must be one of {}. Choose one of them.", name,
                          fmt::join(dtype_names(), ", ")));
}

std::string dtype_name(at::ScalarType dtype) {
  for (size_t i = 0; i < kDtypes.size(); ++i) {
    if (kDtypes.at(i) == dtype) return dtype_names()[i];
  }
  return c10::toString(dtype);
}

}  // namespace lowrank::models
