// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <c10/core/ScalarType.h>

#include <string>
#include <vector>

namespace lowrank::models {

// The dtypes that weights may have, as flags, configurations and reports name them.
const std::vector<std::string>& dtype_names();  // "float32", "bfloat16", "float16", "float64"

// Throws Error for a name that is none of these.
at::ScalarType dtype_of(const std::string& name);

// The inverse; for another dtype LibTorch's own name, as "Long".
std::string dtype_name(at::ScalarType dtype);

}  // namespace lowrank::models
