// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lowrank/train/evaluate.h"

namespace lowrank::train {

// The honest line beside a transformer: a linear model of hashed byte trigrams. Counts c of the
// trigrams in an example's first `most_bytes` bytes, hashed to 2^18 buckets, become log(1 + c),
// scaled to length 1. Of a pair there are three such lists, one beside the other: trigrams of the first
// text, of the second, and of both, c being the smaller count. Then liblinear: for classes its
// L2-regularized support vector machine, one class against the rest; for numbers the regression of that
// kind. Learns from splits.train. Deterministic. `loss` is 0 with classes: the classifier has no
// probabilities. `seconds` is all of it.
//
// Throws Error where a dataset is empty, an example has no label, words are labelled, or the classes are
// fewer than two or differ.
Evaluation linear_baseline(const data::Splits& splits, const data::Dataset& test,
                           int64_t most_bytes = 16384);

}  // namespace lowrank::train
