// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/submission.h"

#include <fmt/format.h>

#include <algorithm>

#include "lowrank/base/file.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/data/glue.h"

namespace lowrank::cli {
namespace {

constexpr double kHighestScore = 5;  // of STS-B; the lowest is 0

struct Submission {
  std::string name, content;
  int64_t rows = 0;
};

void require_glue_model(const train::TrainedModel& trained) {
  const bool classifies = trained.model->config().task == models::Task::kClassification;
  if (classifies && trained.recipe.data.format == data::Format::kGlue) return;
  throw Error(fmt::format(
      "{} was not trained on a task of GLUE, whose test sets a submission answers. Train with "
      "data.format = \"glue\".",
      trained.folder.string()));
}

std::string prediction(const std::vector<double>& values, const std::vector<std::string>& classes) {
  if (classes.size() == 1) return fmt::format("{:.3f}", std::clamp(values[0], 0.0, kHighestScore));
  const auto best = std::max_element(values.begin(), values.end()) - values.begin();
  return classes[static_cast<size_t>(best)];
}

Submission answered(train::TrainedModel& trained, const data::GlueTest& test,
                    const text::Tokenizer& tokenizer) {
  const std::vector<std::string>& classes = trained.model->config().classes;
  Submission submission{.name = test.submission, .content = "index\tprediction\n"};
  for (const auto& values : train::predict(*trained.model, test.dataset, tokenizer,
                                           train::batch_options(trained.recipe))) {
    submission.content += fmt::format("{}\t{}\n", submission.rows++, prediction(values, classes));
  }
  return submission;
}

}  // namespace

void write_submission(train::TrainedModel& trained, const std::filesystem::path& folder,
                      const Console& console) {
  require_glue_model(trained);
  const auto tokenizer = train::tokenizer_of(trained);
  std::vector<Submission> submissions;
  for (const data::GlueTest& test : data::read_glue_tests(trained.recipe.data)) {
    submissions.push_back(answered(trained, test, *tokenizer));
  }
  require_writable(folder, 0);
  for (const Submission& submission : submissions) {
    const std::filesystem::path path = folder / submission.name;
    replace_file(path, submission.content);
    console.out << fmt::format("{}  {}\n", path.string(), counted(submission.rows, "row"));
  }
}

}  // namespace lowrank::cli
