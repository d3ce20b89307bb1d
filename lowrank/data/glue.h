// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "lowrank/data/dataset.h"

namespace lowrank::data {

// The tasks of the GLUE benchmark, each a folder with the files that it is published as: train.tsv, dev.tsv
// and test.tsv, or dev_matched.tsv, dev_mismatched.tsv and so on. Any of them may be packed (.xz, .gz).
//
//   task              texts   labels                                 best by
//   sst2              one     0, 1                                   accuracy
//   cola              one     0, 1                                   matthews
//   mrpc              pair    0, 1                                   f1
//   qqp               pair    0, 1                                   f1
//   stsb              pair    a number from 0 to 5                   pearson
//   qnli, rte         pair    entailment, not_entailment             accuracy
//   mnli              pair    entailment, neutral, contradiction     accuracy; development data: matched
//   mnli_mismatched   the same, development data: mismatched
//
// mrpc also takes the corpus as its authors published it: msr_paraphrase_train.txt where there is no
// train.tsv, and msr_paraphrase_test.txt, whose labels test.tsv lacks, before test.tsv.
std::vector<std::string> glue_task_names();

// Throws Error unless `task` is one of these.
void require_glue_task(const std::string& task, const std::string& where);

// The value of train.metric that the benchmark measures the task by.
std::string glue_metric(const std::string& task);

// A test set as it is submitted: row i of the file is example i, and the examples have no labels.
struct GlueTest {
  std::string submission;  // the name of the file with its predictions: "SST-2.tsv"
  Dataset dataset;
};

// Those of options.task in options.folder: one, or both of mnli's. Throws Error where one is absent or bad.
std::vector<GlueTest> read_glue_tests(const DataOptions& options);

}  // namespace lowrank::data
