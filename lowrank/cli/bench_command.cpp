// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/bench_command.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>
#include <map>

#include "lowrank/base/file.h"
#include "lowrank/cli/bench_contestant.h"
#include "lowrank/cli/bench_report.h"
#include "lowrank/cli/misuse.h"
#include "lowrank/cli/progress_bar.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/stop_signal.h"
#include "lowrank/cli/validators.h"
#include "lowrank/ops/counting_allocator.h"

namespace lowrank::cli {
namespace {

using Tensors = std::vector<at::Tensor>;

constexpr int64_t kShort = 512;  // tokens: no kind takes long

// Thrown out of a race when the user wants to stop.
struct Stopped {};

int64_t bytes_of(const Tensors& tensors) {
  int64_t bytes = 0;
  for (const at::Tensor& one : tensors) {
    if (one.defined()) bytes += static_cast<int64_t>(one.nbytes());
  }
  return bytes;
}

double relative_error(const at::Tensor& got, const at::Tensor& exact) {
  const at::Tensor wide = exact.to(at::kDouble);
  return ((got.to(at::kDouble) - wide).norm() / wide.norm()).item<double>();
}

// Measures length by length, the kinds in turn.
class Bench {
 public:
  Bench(const BenchFlags& flags, const Console& console)
      : flags_(flags), bar_(console), compares_outputs_(is_one_layer()) {
    if (!is_one_layer()) model_ = model_of(flags);
    result_.subject = subject();
  }

  void measure_all() {
    runs_ = static_cast<int64_t>(flags_.n.size() * flags_.kinds.size()) * (flags_.rounds + 1);
    for (const int64_t n : flags_.n) measure(n);
  }

  const BenchResult& result() const { return result_; }

 private:
  bool is_one_layer() const { return flags_.what == "attention" || flags_.what == "layer"; }

  std::string subject() const {
    const std::string pass = flags_.what == "train" ? "a step"
                             : flags_.backward      ? "forward and backward"
                                                    : "forward";
    const int64_t heads = is_one_layer() ? flags_.heads : model_.heads;
    const int64_t width = is_one_layer() ? heads * flags_.head_size : model_.width;
    const std::string layers =
        is_one_layer() ? "" : fmt::format("{}, ", counted(model_.layers, "layer"));
    return fmt::format("{}, {}, {}; {}{} of {}; one sequence of n tokens", flags_.what, pass,
                       flags_.dtype, layers, counted(heads, "head"), width / heads);
  }

  void measure(int64_t n) {
    std::vector<Contestant> contestants;
    for (const std::string& kind : flags_.kinds) {
      if (takes_too_long(kind, n)) continue;
      contestants.push_back(make_contestant(flags_, model_, kind, n));
    }
    std::map<std::string, BenchCell> cells;
    warm_up(contestants, n, cells);
    std::vector<std::function<void()>> runs;
    for (const Contestant& contestant : contestants) {
      BenchCell& cell = cells[contestant.kind];
      runs.emplace_back([&] {
        const PeakBytes peak;
        const int64_t given_back = bytes_of(run(contestant, n));
        cell.peak_bytes = std::max(cell.peak_bytes, peak.value() - given_back);
      });
    }
    const RaceSeconds seconds = race(runs, flags_.rounds);
    for (size_t i = 0; i < contestants.size(); ++i) {
      cells[contestants[i].kind].seconds = seconds[i];
    }
    keep(cells, n);
  }

  // The first run of a kind starts threads and fills caches; its output shows the error.
  void warm_up(const std::vector<Contestant>& contestants, int64_t n,
               std::map<std::string, BenchCell>& cells) {
    std::map<std::string, at::Tensor> outputs;
    for (const Contestant& contestant : contestants) {
      outputs[contestant.kind] = run(contestant, n)[0];
      cells[contestant.kind] = {};
    }
    const auto exact = outputs.find("exact");
    if (!compares_outputs_ || exact == outputs.end()) return;
    for (const auto& [kind, output] : outputs) {
      if (kind != "exact") cells[kind].error = relative_error(output, exact->second);
    }
  }

  Tensors run(const Contestant& contestant, int64_t n) {
    if (stop_.raised()) throw Stopped();
    bar_.update(static_cast<double>(done_++) / static_cast<double>(runs_),
                fmt::format("n {}  {}", grouped(n), contestant.kind));
    return contestant.run();
  }

  // Foretold from a shorter length: exact attention grows as n^2, the others as n.
  bool takes_too_long(const std::string& kind, int64_t n) {
    if (n <= kShort) return false;
    const auto [shorter, seconds_there] = timed_before(kind);
    const double growth = static_cast<double>(n) / static_cast<double>(shorter);
    const double seconds = seconds_there * (kind == "exact" ? growth * growth : growth);
    if (seconds <= static_cast<double>(flags_.max_seconds)) return false;
    result_.notes.push_back(fmt::format(
        "{} at {} tokens is left out: a run would take about {}, and --max-seconds is {}", kind,
        grouped(n), duration(seconds), flags_.max_seconds));
    return true;
  }

  // The longest length that has been measured and its seconds; where there is none, a short one's.
  std::pair<int64_t, double> timed_before(const std::string& kind) {
    const auto before = std::find_if(
        result_.cells.rbegin(), result_.cells.rend(),
        [&](const BenchCell& cell) { return cell.kind == kind && !cell.seconds.empty(); });
    if (before != result_.cells.rend()) return {before->n, before->time.median};
    const Contestant contestant = make_contestant(flags_, model_, kind, kShort);
    contestant.run();
    return {kShort, race({contestant.run}, 1)[0][0]};
  }

  // Cells in the order of the flags, empty ones for what was left out.
  void keep(std::map<std::string, BenchCell>& cells, int64_t n) {
    const std::vector<double> exact =
        cells.contains("exact") ? cells["exact"].seconds : std::vector<double>();
    for (const std::string& kind : flags_.kinds) {
      BenchCell cell = cells.contains(kind) ? cells[kind] : BenchCell();
      cell.n = n;
      cell.kind = kind;
      if (!cell.seconds.empty()) {
        cell.time = quartiles(cell.seconds);
        if (!exact.empty()) cell.ratio = quartiles(ratios(cell.seconds, exact)).median;
      }
      result_.cells.push_back(std::move(cell));
    }
  }

  const BenchFlags& flags_;
  const StopSignal stop_;
  ProgressBar bar_;
  const bool compares_outputs_;
  models::ModelConfig model_;
  BenchResult result_;
  int64_t done_ = 0, runs_ = 0;
};

// Both files are written after all has been measured, which may take minutes.
void check_folder(const char* flag, const std::string& file) {
  const std::filesystem::path folder = std::filesystem::path(file).parent_path();
  if (file.empty() || folder.empty() || std::filesystem::is_directory(folder)) return;
  throw Misuse(fmt::format("{} = {}; the folder {} does not exist. Make it first.", flag, file,
                           folder.string()));
}

void check(const BenchFlags& flags) {
  const bool one_layer = flags.what == "attention" || flags.what == "layer";
  if (one_layer && !flags.model.empty()) {
    throw Misuse(
        fmt::format("{} goes without a model; {} was given. Use \"lowrank bench model {}\".",
                    flags.what, flags.model, flags.model));
  }
  if (flags.nystrom.conv > 0 && flags.nystrom.conv % 2 == 0) {
    throw Misuse(fmt::format("--conv = {}; it must be odd, or 0 for none. Use {}.",
                             flags.nystrom.conv, flags.nystrom.conv + 1));
  }
  check_folder("--json", flags.json);
  check_folder("--plot", flags.plot);
}

// Lengths ascend, nothing is measured twice.
BenchFlags in_order(BenchFlags flags) {
  std::sort(flags.n.begin(), flags.n.end());
  flags.n.erase(std::unique(flags.n.begin(), flags.n.end()), flags.n.end());
  std::vector<std::string> kinds;
  for (const std::string& kind : flags.kinds) {
    if (std::find(kinds.begin(), kinds.end(), kind) == kinds.end()) kinds.push_back(kind);
  }
  flags.kinds = kinds;
  flags.backward |= flags.what == "train";
  return flags;
}

CLI::Option* add_list(CLI::App& app, const char* name, std::vector<int64_t>& value,
                      const char* help) {
  return app.add_option(name, value, help)->delimiter(',')->allow_extra_args(false);
}

CLI::Option* add_number(CLI::App& app, const char* name, int64_t& value, int64_t min, int64_t max,
                        const char* help) {
  return app.add_option(name, value, help)
      ->check(whole_number(min, max))
      ->type_name("")
      ->capture_default_str();
}

// A kind's name, with or without a number of its own.
CLI::Validator attention_kind() {
  const auto check = [](std::string& value) -> std::string {
    const size_t dash = value.find('-');
    std::string name = value.substr(0, dash);
    const std::string unknown = one_of({"exact", "nystrom", "linformer"})(name);
    if (!unknown.empty() || dash == std::string::npos) return unknown;
    if (name == "exact") return value + " has a number; exact attention has no size.";
    std::string number = value.substr(dash + 1);
    return whole_number(1, 65536)(number);
  };
  return {check, "exact|nystrom[-N]|linformer[-N]"};
}

}  // namespace

void add(CLI::App& app, BenchFlags& flags) {
  app.add_option("WHAT", flags.what,
                 "attention: the operator; layer: an encoder layer around it; model; train: a step "
                 "of a model's training")
      ->required()
      ->check(one_of({"attention", "layer", "model", "train"}))
      ->type_name("");
  app.add_option("MODEL", flags.model,
                 "of model and train: recipe, or folder of a run or a model, whose attention the "
                 "kinds replace")
      ->type_name("");
  add_list(app, "--n", flags.n, "tokens of the one sequence, separated by commas")
      ->check(whole_number(1, 1 << 20))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--kinds", flags.kinds,
                 "attention kinds, separated by commas; with a number landmarks or projected rows "
                 "of their own, as in nystrom-32,nystrom-64,linformer-256")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(attention_kind())
      ->type_name("")
      ->capture_default_str();
  add_number(app, "--heads", flags.heads, 1, 1024, "heads, where no model names them");
  add_number(app, "--head-size", flags.head_size, 1, 65536, "channels of a head, likewise");
  add_number(app, "--landmarks", flags.nystrom.landmarks, 1, 4096, "of nystrom");
  add_number(app, "--exact-up-to", flags.nystrom.exact_up_to, 0, NystromOptions::kMostExact,
             "of nystrom: tokens up to which it is exact");
  add_number(app, "--inverse-steps", flags.nystrom.inverse_steps, 1, 32, "of nystrom");
  add_number(app, "--conv", flags.nystrom.conv, 0, 65535, "of nystrom: taps, odd, or 0 for none");
  add_number(app, "--projected", flags.projected, 1, 65536, "of linformer: rows");
  app.add_option("--dtype", flags.dtype, "of tensors and weights; of train the precision")
      ->check(one_of({"float32", "bfloat16"}))
      ->type_name("")
      ->capture_default_str();
  app.add_flag("--backward", flags.backward, "measures forward and backward; train always does");
  add_number(app, "--threads", flags.threads, 0, 4096, "0: as many as LibTorch takes by itself");
  add_number(app, "--rounds", flags.rounds, 1, 1000, "times that each kind runs at each length");
  add_number(app, "--max-seconds", flags.max_seconds, 1, 86400,
             "leaves out what is expected to run longer once");
  app.add_flag(
      "--wide", flags.wide,
      "prints a table like the papers' too: a row a kind, memory / time at each length and "
      "how many times less than exact attention's");
  app.add_option("--json", flags.json, "writes all numbers into this file")->type_name("FILE");
  app.add_option("--plot", flags.plot,
                 "draws FILE-time.png and FILE-memory.png, both against the length")
      ->type_name("FILE.png");
  app.footer(
      "Times are medians over rounds in which the kinds take turns; the spread is the middle half "
      "of\n"
      "the rounds. Memory is what tensors take beyond what goes in and comes out. The error is "
      "that\n"
      "of the output against exact attention, on random numbers. Ctrl-C ends with the lengths "
      "that\n"
      "are done.\n\n"
      "EXAMPLE\n"
      "  lowrank bench attention --n 512,1024,2048,4096 --dtype bfloat16 --plot bench.png\n"
      "  lowrank bench attention --kinds exact,linformer-256,nystrom-64,nystrom-32 --wide");
}

int run(const BenchFlags& given, const Console& console) {
  check(given);
  const BenchFlags flags = in_order(given);
  if (flags.threads > 0) at::set_num_threads(static_cast<int>(flags.threads));
  CountingAllocator::install();
  bool stopped = false;
  BenchResult result;
  {
    Bench bench(flags, console);
    try {
      bench.measure_all();
    } catch (const Stopped&) {
      stopped = true;
    }
    result = bench.result();
  }
  print(result, flags, console.out);
  if (!flags.json.empty()) replace_file(flags.json, to_json(result, flags).dump(2) + "\n");
  if (!flags.plot.empty()) draw(result, flags, console);
  if (!stopped) return kDone;
  console.err << "lowrank bench: interrupted; the table holds the lengths that were done.\n";
  return kInterrupted;
}

}  // namespace lowrank::cli
