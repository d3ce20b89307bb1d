// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lowrank/models/config.h"
#include "lowrank/models/foreign.h"
#include "lowrank/ops/profile.h"

namespace lowrank::models {

// In what a model computes something else than the method that it is named after, or than one expects.
struct Quirk {
  std::string name;   // "batch-wide start"
  std::string does;   // one sentence
  std::string costs;  // one sentence: when it bites and how much; numbers are of random weights
};

// Those of an encoder of this library under a profile.
struct EncoderTraits {
  bool exact = false;             // as many landmarks as the segment length
  bool conv = true;               // it has a convolution of the values
  bool per_matrix_start = false;  // of the pseudo-inverse
  bool padded = true;             // CompatOptions::padded
};
std::vector<Quirk> quirks(Profile profile, const EncoderTraits& traits);

// Those of a model: of its compat.profile, for its first layer's attention.
std::vector<Quirk> quirks(const ModelConfig& config);

// Those of a module of another package.
//
// None of these modules is an ordinary encoder with its quirks dropped: they take vectors, have no final
// norm, a bias in E or a class token of their own. Encoders under the profiles hf, mlpen and fairseq
// are: --fixed keeps their weights and drops the quirks, those aside that the weights cannot do without.
std::vector<Quirk> quirks(const ForeignOptions& options);

}  // namespace lowrank::models
