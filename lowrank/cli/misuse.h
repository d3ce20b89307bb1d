// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lowrank/base/error.h"

namespace lowrank::cli {

// A command line or a recipe that cannot be what the user meant: status 2 instead of 1.
class Misuse : public Error {
 public:
  using Error::Error;
};

}  // namespace lowrank::cli
