// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/file_format.h"

#include <ATen/ATen.h>
#include <fmt/format.h>
#include <fmt/ranges.h>

namespace lowrank::models {

void describe_file(ConfigFields& fields, const char* format, int64_t version,
                   const Describe& model) {
  std::string found_format = format;
  int64_t found_version = version;
  fields.required("format");
  fields.choice("format", found_format, {{format, format}});
  fields.required("version");
  fields.number("version", found_version, version, version);
  fields.required("model");
  fields.object("model", model);
}

std::string shown(const at::Tensor& tensor) {
  return fmt::format("{} [{}]", c10::toString(tensor.scalar_type()),
                     fmt::join(tensor.sizes().vec(), ", "));
}

}  // namespace lowrank::models
