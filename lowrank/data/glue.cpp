// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/glue.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <filesystem>

#include "lowrank/base/error.h"
#include "lowrank/data/glob.h"
#include "lowrank/data/glue_files.h"
#include "lowrank/data/unpacked.h"

namespace lowrank::data {
namespace {

namespace fs = std::filesystem;
using Names = std::vector<std::string>;

struct Task {
  std::string name, metric;
  std::string text, pair, label;  // columns
  Names classes;
  Names headless = {};  // columns of the training and development files where they have no header
  std::string development = "dev.tsv";
  std::vector<std::pair<std::string, std::string>> tests = {};  // file, file of its predictions
};

const Names kZeroOne = {"0", "1"};
const Names kEntailment = {"entailment", "not_entailment"};

std::vector<std::pair<std::string, std::string>> one_test(const std::string& submission) {
  return {{"test.tsv", submission}};
}

Task mnli(const std::string& name, const std::string& development) {
  return {.name = name,
          .metric = "accuracy",
          .text = "sentence1",
          .pair = "sentence2",
          .label = "gold_label",
          .classes = {"entailment", "neutral", "contradiction"},
          .development = development,
          .tests = {{"test_matched.tsv", "MNLI-m.tsv"}, {"test_mismatched.tsv", "MNLI-mm.tsv"}}};
}

const std::vector<Task>& tasks() {
  static const std::vector<Task> all = {
      {.name = "sst2",
       .metric = "accuracy",
       .text = "sentence",
       .pair = "",
       .label = "label",
       .classes = kZeroOne,
       .tests = one_test("SST-2.tsv")},
      {.name = "cola",
       .metric = "matthews",
       .text = "sentence",
       .pair = "",
       .label = "label",
       .classes = kZeroOne,
       .headless = {"source", "label", "mark", "sentence"},
       .tests = one_test("CoLA.tsv")},
      {.name = "mrpc",
       .metric = "f1",
       .text = "#1 String",
       .pair = "#2 String",
       .label = "Quality",
       .classes = kZeroOne,
       .tests = one_test("MRPC.tsv")},
      {.name = "qqp",
       .metric = "f1",
       .text = "question1",
       .pair = "question2",
       .label = "is_duplicate",
       .classes = kZeroOne,
       .tests = one_test("QQP.tsv")},
      {.name = "stsb",
       .metric = "pearson",
       .text = "sentence1",
       .pair = "sentence2",
       .label = "score",
       .classes = {"score"},
       .tests = one_test("STS-B.tsv")},
      {.name = "qnli",
       .metric = "accuracy",
       .text = "question",
       .pair = "sentence",
       .label = "label",
       .classes = kEntailment,
       .tests = one_test("QNLI.tsv")},
      {.name = "rte",
       .metric = "accuracy",
       .text = "sentence1",
       .pair = "sentence2",
       .label = "label",
       .classes = kEntailment,
       .tests = one_test("RTE.tsv")},
      mnli("mnli", "dev_matched.tsv"),
      mnli("mnli_mismatched", "dev_mismatched.tsv"),
  };
  return all;
}

const Task& task_of(const std::string& name, const std::string& where) {
  const auto found = std::find_if(tasks().begin(), tasks().end(),
                                  [&](const Task& task) { return task.name == name; });
  if (found != tasks().end()) return *found;
  throw Error(fmt::format("{}: task = \"{}\"; format = \"glue\" knows {}. Name one of them.", where,
                          name, fmt::join(glue_task_names(), ", ")));
}

TsvLayout labelled_layout(const Task& task) {
  return {.columns = task.headless, .text = task.text, .pair = task.pair, .label = task.label};
}

TsvLayout test_layout(const Task& task) {
  return {.text = task.text, .pair = task.pair, .may_be_blank = true};
}

// The first of the names that the folder has, packed or not; empty where it has none.
fs::path first_of(const fs::path& folder, const Names& names) {
  for (const std::string& name : names) {
    const fs::path path = packed_or_not(folder / name);
    if (!path.empty()) return path;
  }
  return {};
}

fs::path required(const fs::path& folder, const Task& task, const Names& names) {
  fs::path path = first_of(folder, names);
  if (!path.empty()) return path;
  throw Error(fmt::format("data: {} has no {}, which task = \"{}\" reads. Correct data.folder.",
                          folder.string(), fmt::join(names, " or "), task.name));
}

std::vector<Row> read_test(const fs::path& folder, const Task& task, BadRows& bad) {
  if (task.name == "mrpc") {
    const fs::path labelled = first_of(folder, {"msr_paraphrase_test.txt"});
    if (!labelled.empty()) return read_tsv(labelled.string(), labelled_layout(task), bad);
  }
  const fs::path path = first_of(folder, {task.tests[0].first});
  return path.empty() ? std::vector<Row>() : read_tsv(path.string(), test_layout(task), bad);
}

}  // namespace

std::vector<std::string> glue_task_names() {
  Names names;
  for (const Task& task : tasks()) names.push_back(task.name);
  return names;
}

void require_glue_task(const std::string& task, const std::string& where) { task_of(task, where); }

std::string glue_metric(const std::string& task) { return task_of(task, "data").metric; }

std::vector<std::string> glue_classes(const std::string& task) {
  return task_of(task, "data").classes;
}

SplitRows read_glue(const DataOptions& options, BadRows& bad) {
  const Task& task = task_of(options.task, "data");
  const fs::path folder = expand_variables(options.folder);
  Names training = {"train.tsv"};
  if (task.name == "mrpc") training.push_back("msr_paraphrase_train.txt");
  SplitRows rows;
  rows.train = read_tsv(required(folder, task, training).string(), labelled_layout(task), bad);
  const fs::path development = first_of(folder, {task.development});
  if (!development.empty()) {
    rows.validation = read_tsv(development.string(), labelled_layout(task), bad);
  }
  rows.test = read_test(folder, task, bad);
  return rows;
}

std::vector<GlueTest> read_glue_tests(const DataOptions& options) {
  const Task& task = task_of(options.task, "data");
  const fs::path folder = expand_variables(options.folder);
  std::vector<GlueTest> tests;
  for (const auto& [file, submission] : task.tests) {
    DataReport report;
    BadRows bad(/*skip=*/false, report);  // a submission has a line for every row
    Names names = {file};
    if (task.name == "mrpc") names.push_back("msr_paraphrase_test.txt");  // the same rows
    GlueTest test{.submission = submission, .dataset = {.classes = task.classes}};
    for (Row& row : read_tsv(required(folder, task, names).string(), test_layout(task), bad)) {
      test.dataset.examples.push_back({.text = std::move(row.text),
                                       .pair = std::move(row.pair),
                                       .source = std::move(row.source)});
    }
    tests.push_back(std::move(test));
  }
  return tests;
}

}  // namespace lowrank::data
