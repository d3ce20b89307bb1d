// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/bench_report.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>
#include <torch/headeronly/version.h>

#include <algorithm>
#include <cmath>
#include <filesystem>

#include "lowrank/base/build_info.h"
#include "lowrank/cli/bench_contestant.h"
#include "lowrank/cli/machine.h"
#include "lowrank/cli/model_summary.h"
#include "lowrank/cli/picture.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/table.h"
#include "lowrank/ops/crossover.h"

namespace lowrank::cli {
namespace {

constexpr double kMib = 1024 * 1024;

bool measured(const BenchCell& cell) { return !cell.seconds.empty(); }

std::string machine_in_words() {
  const std::string commit = build_info::kCommit;
  return fmt::format("{}, {}, {}; LibTorch {}; lowrank {}{}, {}", processor(), level_in_words(),
                     counted(at::get_num_threads(), "thread"), TORCH_VERSION, build_info::kVersion,
                     commit.empty() ? "" : " (" + commit + ")", build_info::kBuildType);
}

// 12.345 and 0.012345 with three digits, 12345 with all of them.
std::string three_digits(double value) {
  return std::abs(value) >= 100 ? grouped(std::llround(value)) : fmt::format("{:.3g}", value);
}

std::vector<std::string> row_of(const BenchCell& cell) {
  if (!measured(cell)) return {grouped(cell.n), cell.kind, "-", "-", "-", "-", "-", "-"};
  const double spread = (cell.time.upper - cell.time.lower) / cell.time.median;
  const double tokens = static_cast<double>(cell.n) / cell.time.median;
  return {grouped(cell.n),
          cell.kind,
          three_digits(1e3 * cell.time.median),
          percent(spread, 0),
          grouped(std::llround(tokens)),
          three_digits(static_cast<double>(cell.peak_bytes) / kMib),
          cell.error ? fmt::format("{:.2g}", *cell.error) : "-",
          cell.ratio ? fmt::format("{:.2f}", 1 / *cell.ratio) : "-"};
}

void print_table(const BenchResult& result, std::ostream& out) {
  Table table({"n", "kind", "ms", "spread", "tokens/s", "peak MiB", "error", "exact / kind"}, 0);
  for (const BenchCell& cell : result.cells) table.add_row(row_of(cell));
  table.print(out);
}

// "35.1 MiB / 0.7 ms (1.5, 1.1)": the ratios are exact attention's over the kind's.
std::string papers_cell(const BenchCell& cell, const BenchCell* exact) {
  if (!measured(cell)) return "-";
  const double mib = static_cast<double>(cell.peak_bytes) / kMib;
  std::string text =
      fmt::format("{} MiB / {} ms", three_digits(mib), three_digits(1e3 * cell.time.median));
  if (cell.kind == "exact" || !exact || !measured(*exact) || !cell.ratio) return text;
  const double memory = static_cast<double>(exact->peak_bytes) /
                        static_cast<double>(std::max<int64_t>(cell.peak_bytes, 1));
  return text + fmt::format(" ({}, {})", three_digits(memory), three_digits(1 / *cell.ratio));
}

// Nystromformer's Table 1: a row a kind, a column a length.
void print_wide_table(const BenchResult& result, const BenchFlags& flags, std::ostream& out) {
  std::vector<std::string> heading = {"memory / time (times less)"};
  for (const int64_t n : flags.n) heading.push_back(grouped(n));
  Table table(heading);
  const auto cell_of = [&](int64_t n, const std::string& kind) -> const BenchCell* {
    const auto found =
        std::find_if(result.cells.begin(), result.cells.end(),
                     [&](const BenchCell& cell) { return cell.n == n && cell.kind == kind; });
    return found == result.cells.end() ? nullptr : &*found;
  };
  for (const std::string& kind : flags.kinds) {
    std::vector<std::string> row = {kind};
    for (const int64_t n : flags.n) {
      const BenchCell* cell = cell_of(n, kind);
      row.push_back(cell ? papers_cell(*cell, cell_of(n, "exact")) : "-");
    }
    table.add_row(row);
  }
  table.print(out);
}

// Of the lengths where both `kind` and exact attention were measured.
std::vector<Comparison> comparisons(const BenchResult& result, const std::string& kind) {
  std::vector<Comparison> all;
  for (const BenchCell& cell : result.cells) {
    if (cell.kind != kind || !cell.ratio) continue;
    all.push_back({cell.n, cell.time.median / *cell.ratio, cell.time.median, *cell.ratio});
  }
  return all;
}

std::string crossover_in_words(const std::vector<Comparison>& compared, const std::string& kind) {
  const std::optional<double> from = overtaking_length(compared);
  if (!from) {
    return fmt::format("{} does not overtake exact attention up to {} tokens", kind,
                       grouped(compared.back().n));
  }
  if (std::llround(*from) <= compared.front().n) {
    return fmt::format("{} overtakes exact attention below {} tokens", kind,
                       grouped(compared.front().n));
  }
  return fmt::format("{} overtakes exact attention at about {} tokens", kind,
                     grouped(std::llround(*from)));
}

void print_crossovers(const BenchResult& result, const BenchFlags& flags, std::ostream& out) {
  for (const std::string& kind : flags.kinds) {
    const std::vector<Comparison> compared = comparisons(result, kind);
    if (kind == "exact" || compared.empty()) continue;
    out << crossover_in_words(compared, kind) << '\n';
  }
}

Json to_json(const BenchCell& cell) {
  Json json = {{"n", cell.n}, {"kind", cell.kind}, {"seconds", cell.seconds}};
  if (!measured(cell)) return json;
  json["median"] = cell.time.median;
  json["lower_quartile"] = cell.time.lower;
  json["upper_quartile"] = cell.time.upper;
  json["tokens_per_second"] = static_cast<double>(cell.n) / cell.time.median;
  json["peak_bytes"] = cell.peak_bytes;
  json["error"] = cell.error ? Json(*cell.error) : Json();
  json["ratio"] = cell.ratio ? Json(*cell.ratio) : Json();
  return json;
}

// "bench.png" and "time": "bench-time.png".
std::string path_of(const std::string& plot, const char* what) {
  const std::filesystem::path path(plot);
  const std::string name = fmt::format("{}-{}{}", path.stem().string(), what,
                                       path.has_extension() ? path.extension().string() : ".png");
  return (path.parent_path() / name).string();
}

template <class Value>
io::LinePlot plot_of(const BenchResult& result, const BenchFlags& flags, const char* y_label,
                     const Value& value) {
  io::LinePlot plot{.title = result.subject,
                    .x_label = "tokens",
                    .y_label = y_label,
                    .curves = {},
                    .log_x = true,
                    .log_y = true};
  for (const std::string& kind : flags.kinds) {
    io::Curve curve{kind, {}, {}};
    for (const BenchCell& cell : result.cells) {
      if (cell.kind != kind || !measured(cell)) continue;
      curve.x.push_back(static_cast<double>(cell.n));
      curve.y.push_back(value(cell));
    }
    if (!curve.x.empty()) plot.curves.push_back(std::move(curve));
  }
  return plot;
}

}  // namespace

void print(const BenchResult& result, const BenchFlags& flags, std::ostream& out) {
  out << result.subject << '\n';
  for (const std::string& kind : flags.kinds) {
    if (kind != "exact") out << in_words(kind_of(flags, kind, 1)) << '\n';
  }
  out << machine_in_words() << "\n\n";
  print_table(result, out);
  out << '\n';
  if (flags.wide) {
    print_wide_table(result, flags, out);
    out << '\n';
  }
  for (const std::string& note : result.notes) out << note << '\n';
  print_crossovers(result, flags, out);
}

Json to_json(const BenchResult& result, const BenchFlags& flags) {
  Json json = {{"machine", to_json(machine_facts())},
               {"cpu_level", level_in_words()},
               {"threads", at::get_num_threads()},
               {"commit", build_info::kCommit},
               {"what", flags.what},
               {"model", flags.model},
               {"subject", result.subject},
               {"heads", flags.heads},
               {"head_size", flags.head_size},
               {"landmarks", flags.nystrom.landmarks},
               {"exact_up_to", flags.nystrom.exact_up_to},
               {"inverse_steps", flags.nystrom.inverse_steps},
               {"conv", flags.nystrom.conv},
               {"projected", flags.projected},
               {"dtype", flags.dtype},
               {"backward", flags.backward},
               {"rounds", flags.rounds},
               {"cells", Json::array()},
               {"crossover", Json::object()},
               {"notes", result.notes}};
  for (const BenchCell& cell : result.cells) json["cells"].push_back(to_json(cell));
  for (const std::string& kind : flags.kinds) {
    const std::vector<Comparison> compared = comparisons(result, kind);
    if (kind == "exact" || compared.empty()) continue;
    const std::optional<double> from = overtaking_length(compared);
    json["crossover"][kind] = from ? Json(*from) : Json();
  }
  return json;
}

void draw(const BenchResult& result, const BenchFlags& flags, const Console& console) {
  const auto milliseconds = [](const BenchCell& cell) { return 1e3 * cell.time.median; };
  const auto mib = [](const BenchCell& cell) {
    return static_cast<double>(cell.peak_bytes) / kMib;
  };
  draw(plot_of(result, flags, "milliseconds", milliseconds), path_of(flags.plot, "time"), console);
  draw(plot_of(result, flags, "peak MiB", mib), path_of(flags.plot, "memory"), console);
}

}  // namespace lowrank::cli
