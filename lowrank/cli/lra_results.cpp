// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/lra_results.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>

#include "lowrank/cli/quantity.h"
#include "lowrank/cli/table.h"

namespace lowrank::cli {
namespace {

struct Published {
  const char* model;
  std::array<double, 5> accuracy;  // of kLraTasks, in percent
};
constexpr std::array kPublished = {Published{"Standard", {37.10, 65.02, 79.35, 38.20, 74.16}},
                                   Published{"Reformer", {19.05, 64.88, 78.64, 43.29, 69.36}},
                                   Published{"Linformer", {37.25, 55.91, 79.37, 37.84, 67.60}},
                                   Published{"Performer", {18.80, 63.81, 78.62, 37.07, 69.87}},
                                   Published{"Nystromformer", {37.15, 65.52, 79.56, 41.58, 70.94}}};

std::vector<std::string> row_of(const std::string& name,
                                const std::vector<std::optional<double>>& accuracy) {
  std::vector<std::string> row = {name};
  double sum = 0;
  bool whole = true;
  for (const std::optional<double>& one : accuracy) {
    row.push_back(one ? fmt::format("{:.2f}", *one) : "-");
    sum += one.value_or(0);
    whole &= one.has_value();
  }
  row.push_back(whole ? fmt::format("{:.2f}", sum / static_cast<double>(accuracy.size())) : "-");
  return row;
}

std::vector<std::string> kinds_of(const std::vector<LraResult>& results) {
  std::vector<std::string> kinds;
  for (const LraResult& result : results) {
    if (std::find(kinds.begin(), kinds.end(), result.kind) == kinds.end()) {
      kinds.push_back(result.kind);
    }
  }
  return kinds;
}

std::vector<std::string> own_row(const std::string& kind, const std::vector<LraResult>& results) {
  std::vector<std::optional<double>> accuracy(kLraTasks.size());
  for (size_t i = 0; i < kLraTasks.size(); ++i) {
    for (const LraResult& result : results) {
      if (result.kind == kind && result.task == kLraTasks[i]) {
        accuracy[i] = 100 * result.test_accuracy;
      }
    }
  }
  return row_of(kind + ", here", accuracy);
}

void print_accuracy(const std::vector<LraResult>& results, std::ostream& out) {
  Table table({"accuracy, %", "ListOps", "Text", "Retrieval", "Image", "Pathfinder", "Average"});
  for (const Published& published : kPublished) {
    table.add_row(row_of(published.model, {published.accuracy.begin(), published.accuracy.end()}));
  }
  for (const std::string& kind : kinds_of(results)) table.add_row(own_row(kind, results));
  table.print(out);
}

void print_runs(const std::vector<LraResult>& results, std::ostream& out) {
  Table table({"task", "attention", "steps", "of published", "took", "validation", "test",
               "test examples", "published steps would take"},
              2);
  for (const LraResult& result : results) {
    table.add_row({result.task, result.kind, grouped(result.steps), percent(result.share(), 2),
                   duration(result.seconds), percent(result.validation_accuracy, 2),
                   percent(result.test_accuracy, 2), grouped(result.test_count),
                   duration(result.full_seconds())});
  }
  table.print(out);
}

void describe(ConfigFields& fields, LraResult& result) {
  constexpr int64_t kMost = int64_t{1} << 60;
  constexpr double kLongest = 1e12;
  fields.text("task", result.task);
  fields.text("attention", result.kind);
  fields.number("steps", result.steps, 0, kMost);
  fields.number("published_steps", result.published_steps, 1, kMost);
  fields.number("seconds", result.seconds, 0, kLongest);
  fields.number("seconds_per_step", result.seconds_per_step, 0, kLongest);
  fields.number("validation_accuracy", result.validation_accuracy, 0, 1);
  fields.number("test_accuracy", result.test_accuracy, 0, 1);
  fields.number("test_count", result.test_count, 0, kMost);
  fields.objects(
      "curve", [&](size_t size) { result.curve.assign(size, {}); }, result.curve.size(),
      [&](ConfigFields& inner, size_t i) {
        train::CurvePoint& point = result.curve[i];
        inner.number("step", point.step, 0, kMost);
        inner.number("seconds", point.seconds, 0, kLongest);
        inner.number("loss", point.loss, 0, kLongest);
        inner.number("accuracy", point.accuracy, 0, 1);
      });
}

}  // namespace

Json to_json(const LraResult& result) {
  return write_config([copy = result](ConfigFields& fields) mutable { describe(fields, copy); });
}

LraResult lra_result(const Json& json, const std::string& where) {
  LraResult result;
  read_config(json, where, [&](ConfigFields& fields) { describe(fields, result); });
  return result;
}

void print_lra_table(const std::vector<LraResult>& results, std::ostream& out) {
  print_accuracy(results, out);
  if (results.empty()) return;
  out << '\n';
  print_runs(results, out);
}

Json lra_report(const std::vector<LraResult>& results) {
  Json json = {{"published", Json::object()}, {"runs", Json::array()}};
  for (const Published& published : kPublished) {
    for (size_t i = 0; i < kLraTasks.size(); ++i) {
      json["published"][published.model][kLraTasks[i]] = published.accuracy[i];
    }
  }
  for (const LraResult& result : results) {
    json["runs"].push_back(to_json(result));
    json["runs"].back()["published_steps_seconds"] = result.full_seconds();
  }
  return json;
}

}  // namespace lowrank::cli
