// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/imdb.h"

#include <fmt/format.h>

#include <filesystem>

#include "lowrank/base/error.h"
#include "lowrank/data/glob.h"
#include "lowrank/data/source_files.h"
#include "lowrank/data/unpacked.h"

namespace lowrank::data {
namespace {

namespace fs = std::filesystem;

std::vector<Row> read_table(const fs::path& path, BadRows& bad) {
  const TsvLayout layout{.columns = {"label", "id", "rating", "text"},
                         .tabs_in_last_column = true,
                         .text = "text",
                         .label = "label"};
  std::vector<Row> rows;
  for (Row& row : read_tsv(path.string(), layout, bad)) {
    if (row.label != "0" && row.label != "1") {
      bad.add("unknown label", row.source,
              fmt::format("label \"{}\" is neither 0 nor 1", row.label));
      continue;
    }
    row.label = row.label == "1" ? "pos" : "neg";
    rows.push_back(std::move(row));
  }
  return rows;
}

// Reviews are not sifted as source files are: an official split stays as it is.
std::vector<Row> read_folders(const fs::path& folder, const DataOptions& options, BadRows& bad,
                              DataReport& report,
                              const std::function<void(int64_t, int64_t)>& progress) {
  DataOptions reviews;
  reviews.max_bytes = options.max_bytes;
  for (const char* label : {"neg", "pos"}) {
    reviews.classes.push_back({label, {(folder / label / "*.txt").string()}});
  }
  return read_source_files(reviews, bad, report, progress);
}

}  // namespace

SplitRows read_imdb(const DataOptions& options, BadRows& bad, DataReport& report,
                    const std::function<void(int64_t, int64_t)>& progress) {
  const fs::path folder = expand_variables(options.folder);
  const auto read = [&](const std::string& split) -> std::optional<std::vector<Row>> {
    const fs::path table = packed_or_not(folder / (split + ".tsv"));
    if (!table.empty()) return read_table(table, bad);
    if (!fs::is_directory(folder / split)) return std::nullopt;
    return read_folders(folder / split, options, bad, report, progress);
  };
  std::optional<std::vector<Row>> train = read("train");
  if (!train) {
    throw Error(
        fmt::format("data: {} has neither train.tsv nor train/pos and train/neg, which format = "
                    "\"imdb\" reads. Correct data.folder.",
                    folder.string()));
  }
  return {.train = std::move(*train), .validation = std::nullopt, .test = read("test")};
}

}  // namespace lowrank::data
