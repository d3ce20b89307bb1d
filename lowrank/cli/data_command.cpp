// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/data_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <set>

#include "lowrank/cli/escape.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/table.h"
#include "lowrank/text/tokenizer.h"

namespace lowrank::cli {
namespace {

constexpr size_t kShown = 200;  // bytes or tokens of an example
constexpr size_t kExamples = 3;
constexpr std::array kQuantiles = {std::pair{"shortest", 0.0}, std::pair{"10 %", 0.1},
                                   std::pair{"median", 0.5}, std::pair{"90 %", 0.9},
                                   std::pair{"longest", 1.0}};

constexpr const char* kNoLabel = "(no label)";

struct ClassCounts {
  std::string name;
  std::array<int64_t, 3> splits = {};  // train, validation, test
};

struct Shown {
  std::string label, source, text;
};

// What the command prints, as a table or as JSON.
struct DataSummary {
  std::vector<ClassCounts> classes;    // one nameless entry where the data has no classes
  std::vector<int64_t> bytes, tokens;  // of every example, sorted
  int64_t overlong = 0;
  std::vector<Shown> examples;
};

std::array<const data::Dataset*, 3> datasets(const data::Splits& splits) {
  return {&splits.train, &splits.validation, &splits.test};
}

// Examples of each class, or words where these are labelled; a number has one line.
std::vector<ClassCounts> count_classes(const data::Splits& splits) {
  std::vector<ClassCounts> counts;
  for (const std::string& name : splits.train.classes) counts.push_back({.name = name});
  if (counts.empty()) counts.push_back({.name = "(no classes)"});
  const bool has_classes = !splits.train.classes.empty();
  ClassCounts unlabelled{.name = kNoLabel};
  const auto parts = datasets(splits);
  for (size_t part = 0; part < parts.size(); ++part) {
    for (const data::Example& example : parts[part]->examples) {
      if (has_classes && !data::is_labelled(*parts[part], example)) {
        ++unlabelled.splits[part];
        continue;
      }
      for (const data::Word& word : example.words) {
        ++counts[static_cast<size_t>(word.label)].splits[part];
      }
      if (example.words.empty()) {
        ++counts[static_cast<size_t>(std::max<int64_t>(example.label, 0))].splits[part];
      }
    }
  }
  if (unlabelled.splits != std::array<int64_t, 3>{}) counts.push_back(unlabelled);
  return counts;
}

// The label as `lowrank data` shows it before the example; empty for words, whose text has many.
std::string label_of(const data::Dataset& dataset, const data::Example& example) {
  if (example.label >= 0) return dataset.classes[static_cast<size_t>(example.label)];
  return std::isnan(example.number) ? "" : fmt::format("{}", example.number);
}

// The first training example of each class while there are fewer than three, then the next ones.
std::vector<const data::Example*> choose_examples(const data::Dataset& dataset) {
  std::vector<const data::Example*> chosen;
  std::set<int64_t> seen;
  for (const bool new_class_only : {true, false}) {
    for (const data::Example& example : dataset.examples) {
      if (chosen.size() == kExamples) return chosen;
      const bool new_class = seen.insert(example.label).second;
      const bool taken = std::find(chosen.begin(), chosen.end(), &example) != chosen.end();
      if (!taken && (new_class || !new_class_only)) chosen.push_back(&example);
    }
  }
  return chosen;
}

DataSummary summarize(const data::Splits& splits, const train::Recipe& recipe) {
  const auto tokenizer = text::make_tokenizer(recipe.model.tokenizer);
  DataSummary summary;
  summary.classes = count_classes(splits);
  for (const data::Dataset* dataset : datasets(splits)) {
    for (const data::Example& example : dataset->examples) {
      const size_t tokens =
          tokenizer->encode(example.text).size() + tokenizer->encode(example.pair).size();
      summary.bytes.push_back(static_cast<int64_t>(example.text.size() + example.pair.size()));
      summary.tokens.push_back(static_cast<int64_t>(tokens));
      summary.overlong += summary.tokens.back() > recipe.data.max_length;
    }
  }
  std::sort(summary.bytes.begin(), summary.bytes.end());
  std::sort(summary.tokens.begin(), summary.tokens.end());

  for (const data::Example* example : choose_examples(splits.train)) {
    std::vector<int64_t> ids = tokenizer->encode(example->text);
    ids.resize(std::min(ids.size(), kShown));
    summary.examples.push_back(
        {label_of(splits.train, *example), example->source, escaped(tokenizer->decode(ids))});
  }
  return summary;
}

int64_t quantile(const std::vector<int64_t>& sorted, double share) {
  if (sorted.empty()) return 0;
  return sorted[static_cast<size_t>(share * static_cast<double>(sorted.size() - 1))];
}

void print_classes(const DataSummary& summary, std::ostream& out) {
  Table table({"class", "train", "validation", "test", "all"});
  std::array<int64_t, 3> sums = {};
  const auto add_row = [&](const std::string& name, const std::array<int64_t, 3>& counts) {
    table.add_row({name, grouped(counts[0]), grouped(counts[1]), grouped(counts[2]),
                   grouped(counts[0] + counts[1] + counts[2])});
  };
  for (const ClassCounts& counts : summary.classes) {
    add_row(escaped(counts.name), counts.splits);
    for (size_t part = 0; part < sums.size(); ++part) sums[part] += counts.splits[part];
  }
  if (summary.classes.size() > 1) add_row("all", sums);
  table.print(out);
}

void print_lengths(const DataSummary& summary, const data::DataOptions& options,
                   std::ostream& out) {
  std::vector<std::string> heading = {"length"}, bytes = {"bytes"}, tokens = {"tokens"};
  for (const auto& [name, share] : kQuantiles) {
    heading.emplace_back(name);
    bytes.push_back(grouped(quantile(summary.bytes, share)));
    tokens.push_back(grouped(quantile(summary.tokens, share)));
  }
  Table table(heading);
  table.add_row(bytes);
  table.add_row(tokens);
  table.print(out);
  if (summary.overlong > 0) {
    out << fmt::format("{} longer than max_length = {} tokens; on_overflow = {}\n",
                       counted(summary.overlong, "example"), grouped(options.max_length),
                       options.on_overflow);
  }
}

void print_dropped(const data::DataReport& report, std::ostream& out) {
  if (report.dropped.empty()) return;
  Table table({"left out", "count"});
  for (const auto& [reason, count] : report.dropped) table.add_row({reason, grouped(count)});
  out << '\n';
  table.print(out);
}

void print(const DataSummary& summary, const data::Splits& splits, const data::DataOptions& options,
           std::ostream& out) {
  print_classes(summary, out);
  out << '\n';
  print_lengths(summary, options, out);
  print_dropped(splits.report, out);
  for (const Shown& example : summary.examples) {
    out << fmt::format("\n{}{}\n  {}\n", example.label.empty() ? "" : escaped(example.label) + "  ",
                       example.source, example.text);
  }
}

Json to_json(const DataSummary& summary, const data::Splits& splits) {
  Json json;
  for (const ClassCounts& counts : summary.classes) {
    json["classes"].push_back({{"name", counts.name},
                               {"train", counts.splits[0]},
                               {"validation", counts.splits[1]},
                               {"test", counts.splits[2]}});
  }
  for (const auto& [name, share] : kQuantiles) {
    json["bytes"][name] = quantile(summary.bytes, share);
    json["tokens"][name] = quantile(summary.tokens, share);
  }
  json["overlong"] = summary.overlong;
  json["dropped"] = Json::object();
  for (const auto& [reason, count] : splits.report.dropped) json["dropped"][reason] = count;
  json["notes"] = splits.report.notes;
  for (const Shown& example : summary.examples) {
    json["examples"].push_back(
        {{"label", example.label}, {"source", example.source}, {"text", example.text}});
  }
  return json;
}

}  // namespace

void add(CLI::App& app, DataFlags& flags) {
  add(app, flags.recipe);
  app.add_flag("--json", flags.json, "prints JSON");
  app.footer(
      "EXAMPLE\n"
      "  lowrank data recipes/source_files.toml");
}

int run(const DataFlags& flags, const Console& console) {
  const train::Recipe recipe = load(flags.recipe);
  const data::Splits splits = read_data(recipe, console);
  const DataSummary summary = summarize(splits, recipe);
  if (flags.json) {
    console.out << to_json(summary, splits).dump(2, ' ', false, Json::error_handler_t::replace)
                << '\n';
  } else {
    print(summary, splits, recipe.data, console.out);
  }
  return kDone;
}

}  // namespace lowrank::cli
