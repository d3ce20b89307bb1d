// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/prediction.h"

#include <fmt/format.h>

#include <algorithm>

#include "lowrank/cli/escape.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/table.h"
#include "lowrank/serve/classify.h"

namespace lowrank::cli {
namespace {

void print_json(const std::vector<std::string>& sources, const std::vector<Prediction>& predictions,
                std::ostream& out) {
  for (size_t i = 0; i < sources.size(); ++i) {
    Json json = {{"source", sources[i]}};
    json.update(predictions[i].json);
    out << json.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
  }
}

void print_table(const std::vector<std::string>& sources,
                 const std::vector<Prediction>& predictions, std::ostream& out) {
  size_t columns = 0;
  for (const Prediction& prediction : predictions) {
    for (const auto& row : prediction.rows) columns = std::max(columns, 1 + row.size());
  }
  if (columns == 0) return;
  Table table(std::vector<std::string>(columns), columns);
  for (size_t i = 0; i < sources.size(); ++i) {
    for (const auto& cells : predictions[i].rows) {
      std::vector<std::string> row = {escaped(sources[i])};
      row.insert(row.end(), cells.begin(), cells.end());
      row.resize(columns);
      table.add_row(std::move(row));
    }
  }
  table.print(out);
}

}  // namespace

Prediction of_classes(const std::vector<std::string>& classes, const std::vector<double>& values,
                      int64_t top) {
  if (classes.size() == 1) {
    return {.json = {{"value", values[0]}},
            .rows = {{fmt::format("{} {:.6g}", escaped(classes[0]), values[0])}}};
  }
  Prediction prediction{.json = {{"labels", Json::array()}}, .rows = {{}}};
  for (const size_t c : serve::best_of(values, top)) {
    prediction.json["labels"].push_back({{"label", classes[c]}, {"probability", values[c]}});
    prediction.rows[0].push_back(fmt::format("{} {}", escaped(classes[c]), percent(values[c])));
  }
  return prediction;
}

void print(const std::vector<std::string>& sources, const std::vector<Prediction>& predictions,
           bool json, std::ostream& out) {
  json ? print_json(sources, predictions, out) : print_table(sources, predictions, out);
  out << std::flush;
}

}  // namespace lowrank::cli
