// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/approximation_command.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <optional>
#include <set>

#include "lowrank/analysis/approximation.h"
#include "lowrank/cli/measured_progress.h"
#include "lowrank/cli/picture.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/table.h"
#include "lowrank/cli/validators.h"

namespace lowrank::cli {
namespace {

using analysis::Approximation;
using analysis::Method;

constexpr int64_t kUsualLength = 512;

std::string three_digits(double value) { return fmt::format("{:.3f}", value); }

std::vector<Approximation> approximations_of(const ErrorFlags& flags) {
  const auto chosen = [&](const char* method) {
    return std::find(flags.methods.begin(), flags.methods.end(), method) != flags.methods.end();
  };
  const std::set<int64_t> landmarks(flags.landmarks.begin(), flags.landmarks.end());
  const std::set<int64_t> ranks(flags.rank.begin(), flags.rank.end());
  std::set<int64_t> all = landmarks;
  all.insert(ranks.begin(), ranks.end());
  std::vector<Approximation> result;
  const auto add_sizes = [&](const char* name, Method method, const std::set<int64_t>& sizes) {
    if (!chosen(name)) return;
    for (const int64_t size : sizes) result.push_back({method, size});
  };
  add_sizes("nystrom", Method::kNystrom, landmarks);
  add_sizes("pooled", Method::kPooled, ranks);
  add_sizes("random", Method::kRandom, ranks);
  add_sizes("best", Method::kBestRank, all);
  return result;
}

struct Measured {
  int64_t length = 0, sequences = 0;
  std::vector<Approximation> approximations;
  at::Tensor errors;                         // [approximations, l]
  std::vector<models::Closeness> closeness;  // of each, or none
};

void print(const Measured& measured, std::ostream& out) {
  out << fmt::format(
      "{} tokens, {}: |x - P v| / |P v| of each layer's heads, P = softmax(s q k^T)\n",
      measured.length, counted(measured.sequences, "sequence"));
  const bool vectors = !measured.closeness.empty();
  std::vector<std::string> heading = {"in place of P v", "rank"};
  for (int64_t layer = 0; layer < measured.errors.size(1); ++layer) {
    heading.push_back(fmt::format("layer {}", layer));
  }
  heading.push_back("mean");
  if (vectors) heading.insert(heading.end(), {"cosine", "least"});
  Table table(heading);
  for (size_t i = 0; i < measured.approximations.size(); ++i) {
    const Approximation& one = measured.approximations[i];
    const at::Tensor errors = measured.errors[static_cast<int64_t>(i)];
    std::vector<std::string> row = {analysis::name_of(one.method), std::to_string(one.size)};
    for (int64_t layer = 0; layer < errors.size(0); ++layer) {
      row.push_back(three_digits(errors[layer].item<double>()));
    }
    row.push_back(three_digits(errors.mean().item<double>()));
    if (vectors) {
      row.push_back(three_digits(measured.closeness[i].mean_cosine));
      row.push_back(three_digits(measured.closeness[i].least_cosine));
    }
    table.add_row(row);
  }
  table.print(out);
}

Json to_json(const Measured& measured) {
  Json json = {
      {"n", measured.length}, {"sequences", measured.sequences}, {"approximations", Json::array()}};
  for (size_t i = 0; i < measured.approximations.size(); ++i) {
    const at::Tensor errors = measured.errors[static_cast<int64_t>(i)];
    Json one = {{"method", analysis::name_of(measured.approximations[i].method)},
                {"rank", measured.approximations[i].size},
                {"error", errors.mean().item<double>()},
                {"layers", Json::array()}};
    for (int64_t layer = 0; layer < errors.size(0); ++layer) {
      one["layers"].push_back(errors[layer].item<double>());
    }
    if (!measured.closeness.empty()) {
      one["mean_cosine"] = measured.closeness[i].mean_cosine;
      one["least_cosine"] = measured.closeness[i].least_cosine;
    }
    json["approximations"].push_back(std::move(one));
  }
  return json;
}

io::LinePlot curves_of(const Measured& measured) {
  io::LinePlot plot{.title = fmt::format("Error of attention's output, {} tokens", measured.length),
                    .x_label = "rank",
                    .y_label = "relative error, mean of the layers",
                    .curves = {},
                    .log_x = true};
  for (size_t i = 0; i < measured.approximations.size(); ++i) {
    const Approximation& one = measured.approximations[i];
    const char* name = analysis::name_of(one.method);
    if (plot.curves.empty() || plot.curves.back().name != name)
      plot.curves.push_back({name, {}, {}});
    plot.curves.back().x.push_back(static_cast<double>(one.size));
    plot.curves.back().y.push_back(measured.errors[static_cast<int64_t>(i)].mean().item<double>());
  }
  return plot;
}

// ---- Projections

struct ProjectionRow {
  std::string rule;
  analysis::ProjectionError error;
};

void print(const std::vector<ProjectionRow>& rows, std::ostream& out) {
  out << "P E^T (E v) against P v, E [r, n] of N(0, 1 / r)\n";
  Table table({"r", "n", "r", "|x - P v| / |P v|", "expected", "of |p| |v|", "largest"}, 1);
  for (const auto& [rule, error] : rows) {
    table.add_row({rule, grouped(error.length), std::to_string(error.rank),
                   three_digits(error.output), three_digits(error.expected),
                   three_digits(error.product), three_digits(error.largest)});
  }
  table.print(out);
}

Json to_json(const std::vector<ProjectionRow>& rows) {
  Json json = Json::array();
  for (const auto& [rule, error] : rows) {
    json.push_back({{"rule", rule},
                    {"n", error.length},
                    {"rank", error.rank},
                    {"output_error", error.output},
                    {"expected_output_error", error.expected},
                    {"product_error", error.product},
                    {"largest_product_error", error.largest}});
  }
  return json;
}

io::LinePlot curves_of(const std::vector<ProjectionRow>& rows) {
  io::LinePlot plot{.title = "Random projections: P E^T (E v) against P v",
                    .x_label = "tokens",
                    .y_label = "error",
                    .curves = {},
                    .log_x = true};
  const auto add_curve = [&](const std::string& rule, const char* what, auto value) {
    io::Curve curve{fmt::format("{}, {}", what, rule), {}, {}};
    for (const ProjectionRow& row : rows) {
      if (row.rule != rule) continue;
      curve.x.push_back(static_cast<double>(row.error.length));
      curve.y.push_back(value(row.error));
    }
    plot.curves.push_back(std::move(curve));
  };
  for (const std::string& rule : {rows.front().rule, rows.back().rule}) {
    add_curve(rule, "of |P v|",
              [](const analysis::ProjectionError& error) { return error.output; });
    add_curve(rule, "largest",
              [](const analysis::ProjectionError& error) { return error.largest; });
  }
  return plot;
}

CLI::Option* add_sizes(CLI::App& app, const char* name, std::vector<int64_t>& sizes,
                       const char* help) {
  return app.add_option(name, sizes, help)
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(whole_number(1, 65536))
      ->type_name("")
      ->capture_default_str();
}

}  // namespace

void add(CLI::App& app, ErrorFlags& flags) {
  add(app, flags.sample);
  app.add_option("--n", flags.n,
                 "tokens of a sequence (default: what the model takes, 512 at most)")
      ->check(whole_number(1, 65536))
      ->type_name("");
  add_sizes(app, "--landmarks", flags.landmarks, "of nystrom, separated by commas");
  add_sizes(app, "--rank", flags.rank, "of pooled and random, separated by commas");
  app.add_option("--methods", flags.methods, "what is compared, separated by commas")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(one_of({"nystrom", "pooled", "random", "best"}))
      ->type_name("")
      ->capture_default_str();
  app.add_flag("--layers-only", flags.layers_only,
               "leaves out the vectors of models with the approximation in every layer");
  app.add_option("--plot", flags.plot, "PNG to draw: the mean error against the rank")
      ->type_name("");
  app.footer(
      "Each stands in for P v, P = softmax(s q k^T) of the model's own q, k and v, without "
      "training:\n"
      "  nystrom    F (Z (B v)) with as many landmarks\n"
      "  pooled     Linformer attention whose E makes means of windows of keys and values\n"
      "  random     P E^T (E v), E of N(0, 1 / rank): Linformer's theorem\n"
      "  best rank  the nearest matrix of that rank to P: what rank alone costs\n"
      "cosine: of the model's vectors with it in every layer to those of exact attention.\n\n"
      "EXAMPLE\n"
      "  lowrank analyze error models/minilm novels/ --landmarks 16,32,64 --rank 64,128");
}

int run(const ErrorFlags& flags, const Console& console) {
  require_folder("--plot", flags.plot);
  const serve::TextModel model = load(flags.sample, std::max<int64_t>(1, flags.n));
  const int64_t n = flags.n > 0 ? flags.n : std::min(kUsualLength, model.max_length);
  const Samples samples = sample(model, flags.sample, {n}, console).front();
  at::manual_seed(flags.sample.seed);
  MeasuredProgress progress(console, flags.layers_only ? 1 : 2);
  Measured measured{.length = n,
                    .sequences = std::ssize(samples.sequences),
                    .approximations = approximations_of(flags),
                    .errors = {},
                    .closeness = {}};
  measured.errors = analysis::layer_errors(*model.model, samples.sequences, measured.approximations,
                                           progress.next("layers"));
  if (!flags.layers_only) {
    measured.closeness = analysis::closeness_with(
        *model.model, samples.sequences, measured.approximations, progress.next("vectors"));
  }
  progress.wipe();
  if (flags.sample.json) {
    console.out << to_json(measured).dump(2) << '\n';
  } else {
    print(measured, console.out);
  }
  draw(curves_of(measured), flags.plot, console);
  return kDone;
}

void add(CLI::App& app, ProjectionFlags& flags) {
  add(app, flags.sample);
  add_sizes(app, "--n", flags.n, "tokens of a sequence, separated by commas");
  app.add_option("--rank", flags.rank, "r of the first half of the table")
      ->check(whole_number(1, 65536))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--factor", flags.factor, "of r = factor ln(n), the second half's")
      ->check(CLI::Range(0.1, 1e4))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--plot", flags.plot, "PNG to draw: the errors against n")->type_name("");
  app.footer(
      "Johnson and Lindenstrauss: random projections keep products of vectors up to a share of "
      "their\n"
      "lengths, p E^T E v = p v + e |p| |v|, with e of about 1 / sqrt(r) whatever n is, and the "
      "largest e\n"
      "of n rows stays where it is with r ~ log n. The error relative to P v itself is another "
      "matter.\n\n"
      "EXAMPLE\n"
      "  lowrank analyze projection models/minilm novels/ --tile --n 128,512,2048 --plot jl.png");
}

int run(const ProjectionFlags& flags, const Console& console) {
  require_folder("--plot", flags.plot);
  const int64_t longest = *std::max_element(flags.n.begin(), flags.n.end());
  const serve::TextModel model = load(flags.sample, longest);
  const std::vector<Samples> samples = sample(model, flags.sample, flags.n, console);
  at::manual_seed(flags.sample.seed);
  MeasuredProgress progress(console, samples.size());
  const std::string fixed = fmt::format("r = {}", flags.rank);
  const std::string growing = fmt::format("r = {} ln n", flags.factor);
  std::vector<ProjectionRow> rows, second;
  for (const Samples& of_length : samples) {
    const auto n = static_cast<double>(of_length.length);
    const auto grown = static_cast<int64_t>(std::ceil(flags.factor * std::log(n)));
    const std::vector<analysis::ProjectionError> errors = analysis::projection_errors(
        *model.model, of_length.sequences, {flags.rank, std::max<int64_t>(1, grown)},
        progress.next(fmt::format("n = {}", of_length.length)));
    rows.push_back({fixed, errors[0]});
    second.push_back({growing, errors[1]});
  }
  progress.wipe();
  rows.insert(rows.end(), second.begin(), second.end());
  if (flags.sample.json) {
    console.out << to_json(rows).dump(2) << '\n';
  } else {
    print(rows, console.out);
  }
  draw(curves_of(rows), flags.plot, console);
  return kDone;
}

}  // namespace lowrank::cli
