// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <filesystem>

#include "lowrank/cli/console.h"
#include "lowrank/train/trainer.h"

namespace lowrank::cli {

// Writes what a model trained on a task of GLUE predicts of the task's test set into `folder`, as the
// benchmark takes it: a file index TAB prediction for each test set, named as it wants (SST-2.tsv). Labels
// are those of the training file, STS-B's scores are kept from 0 to 5. Tells of the files on console.out.
//
// Throws Error unless the model is a classifier and `data` (its recipe's) has format = "glue"; then no file
// is written, and none where one of the test sets cannot be read.
void write_submission(train::TrainedModel& trained, const std::filesystem::path& folder,
                      const Console& console);

}  // namespace lowrank::cli
