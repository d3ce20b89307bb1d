// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "lowrank/base/config.h"

namespace lowrank::cli {

// What `lowrank predict` prints of an input.
struct Prediction {
  Json json;                                   // an object
  std::vector<std::vector<std::string>> rows;  // for people, without the source
};

// The likeliest classes; of a single class, the number that it stands for. `values`: a probability
// for each of `classes`, or that number.
Prediction of_classes(const std::vector<std::string>& classes, const std::vector<double>& values,
                      int64_t top);

// A JSON object a line, which begins with "source"; or a table whose first column is the source.
void print(const std::vector<std::string>& sources, const std::vector<Prediction>& predictions,
           bool json, std::ostream& out);

}  // namespace lowrank::cli
