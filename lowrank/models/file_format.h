// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

#include "lowrank/base/config.h"

namespace lowrank::models {

// A config.json of this library: {"format": format, "version": version, "model": {...}}.
void describe_file(ConfigFields& fields, const char* format, int64_t version,
                   const Describe& model);

// "Float [3, 5]", as messages about a file's tensors say it.
std::string shown(const at::Tensor& tensor);

}  // namespace lowrank::models
