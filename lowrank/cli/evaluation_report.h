// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ostream>
#include <string>

#include "lowrank/data/dataset.h"
#include "lowrank/models/config.h"
#include "lowrank/train/evaluate.h"

namespace lowrank::cli {

// "accuracy 96.3 %, macro F1 96.1 %, loss 0.142", or what else is measured.
std::string quality_in_words(const train::Evaluation& evaluation);

// The whole of an evaluation: a headline, the table of classes and the confusion matrix.
void print(const train::Evaluation& evaluation, const std::string& headline, std::ostream& out);

// "train", "validation" or "test". Throws Error where the split is empty.
const data::Dataset& split_of(const data::Splits& splits, const std::string& split);

// The split that is asked for; without one the test split, or validation where test has no labels, as
// those of GLUE have none.
std::string split_to_measure(const data::Splits& splits, const std::string& asked);

}  // namespace lowrank::cli
