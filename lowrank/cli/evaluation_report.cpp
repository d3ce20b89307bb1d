// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/evaluation_report.h"

#include <fmt/format.h>

#include "lowrank/cli/abbreviations.h"
#include "lowrank/cli/escape.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/table.h"

namespace lowrank::cli {
namespace {

void print_classes(const train::Evaluation& evaluation, std::ostream& out) {
  Table table({"class", "precision", "recall", "F1", "examples"});
  for (size_t i = 0; i < evaluation.classes.size(); ++i) {
    table.add_row({escaped(evaluation.classes[i]), percent(evaluation.precision[i]),
                   percent(evaluation.recall[i]), percent(evaluation.f1[i]),
                   grouped(evaluation.support[i])});
  }
  table.print(out);
}

void print_confusion(const train::Evaluation& evaluation, std::ostream& out) {
  std::vector<std::string> heading = {"true \\ predicted"};
  for (const std::string& letters : abbreviations(evaluation.classes)) heading.push_back(letters);
  Table table(heading);
  for (size_t i = 0; i < evaluation.classes.size(); ++i) {
    std::vector<std::string> row = {escaped(evaluation.classes[i])};
    for (const int64_t count : evaluation.confusion[i]) {
      row.push_back(count == 0 ? "." : grouped(count));
    }
    table.add_row(std::move(row));
  }
  table.print(out);
}

const char* counted_things(train::Measured measured) {
  switch (measured) {
    case train::Measured::kMasked:
      return "masked token";
    case train::Measured::kTags:
      return "word";
    default:
      return "example";
  }
}

void print_spans(const train::SpanScore& spans, std::ostream& out) {
  out << fmt::format("{} of {} spans found: precision {}, recall {}, F1 {}\n", grouped(spans.hits),
                     grouped(spans.of_truth), percent(spans.precision()), percent(spans.recall()),
                     percent(spans.f1()));
}

}  // namespace

std::string quality_in_words(const train::Evaluation& evaluation) {
  switch (evaluation.measured) {
    case train::Measured::kMasked:
      return fmt::format("loss {:.4f}, perplexity {:.2f}, accuracy {}{}", evaluation.loss,
                         evaluation.perplexity, percent(evaluation.accuracy),
                         evaluation.order_accuracy
                             ? fmt::format(", order {}", percent(*evaluation.order_accuracy))
                             : "");
    case train::Measured::kNumber:
      return fmt::format("Pearson {:.4f}, Spearman {:.4f}, mean squared error {:.4f}",
                         evaluation.pearson, evaluation.spearman, evaluation.loss);
    case train::Measured::kTags:
    case train::Measured::kClasses:
      break;
  }
  const std::string loss =  // a classifier without probabilities has none
      evaluation.loss > 0 ? fmt::format(", loss {:.4f}", evaluation.loss) : "";
  const std::string spans =
      evaluation.spans ? fmt::format("span F1 {}, ", percent(evaluation.spans->f1())) : "";
  const std::string binary =
      evaluation.classes.size() == 2
          ? fmt::format(", F1 of {} {}, Matthews {:.4f}", escaped(evaluation.classes[1]),
                        percent(evaluation.f1[1]), evaluation.matthews)
          : "";
  return fmt::format("{}accuracy {}, macro F1 {}{}{}", spans, percent(evaluation.accuracy),
                     percent(evaluation.macro_f1), binary, loss);
}

void print(const train::Evaluation& evaluation, const std::string& headline, std::ostream& out) {
  out << fmt::format("{}: {}\n", headline, quality_in_words(evaluation));
  out << counted(evaluation.count, counted_things(evaluation.measured));
  if (evaluation.tokens > 0) out << fmt::format(", {} tokens", grouped(evaluation.tokens));
  out << fmt::format(" in {}\n", duration(evaluation.seconds));
  if (evaluation.confusion.empty()) return;
  if (evaluation.spans) print_spans(*evaluation.spans, out);
  out << '\n';
  print_classes(evaluation, out);
  out << '\n';
  print_confusion(evaluation, out);
}

const data::Dataset& split_of(const data::Splits& splits, const std::string& split) {
  const data::Dataset& dataset = split == "train"        ? splits.train
                                 : split == "validation" ? splits.validation
                                                         : splits.test;
  if (dataset.examples.empty()) {
    throw Error(
        fmt::format("the {0} split has no examples. Set data.{0}_share or data.{0}.", split));
  }
  return dataset;
}

std::string split_to_measure(const data::Splits& splits, const std::string& asked) {
  if (!asked.empty()) return asked;
  const std::vector<data::Example>& test = splits.test.examples;
  const bool hidden = test.empty() || !data::is_labelled(splits.test, test[0]);
  const bool published_so = !splits.test.classes.empty();  // a language model needs no labels
  return hidden && published_so && !splits.validation.examples.empty() ? "validation" : "test";
}

}  // namespace lowrank::cli
