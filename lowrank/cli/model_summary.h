// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lowrank/models/model.h"

namespace lowrank::cli {

// "nystrom, 64 landmarks, convolution of 33 taps".
std::string in_words(const AttentionKind& kind);

// "classification into 12 classes; 2 layers of width 64, 2 heads, feed-forward 128, ...".
std::string in_words(const models::ModelConfig& config);

}  // namespace lowrank::cli
