// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/spectrum_command.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>

#include "lowrank/analysis/spectrum.h"
#include "lowrank/cli/measured_progress.h"
#include "lowrank/cli/picture.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/table.h"
#include "lowrank/cli/validators.h"

namespace lowrank::cli {
namespace {

constexpr int64_t kUsualLength = 512;  // of the paper, and singular values take n^3

std::vector<int64_t> ranks_of(const SpectrumFlags& flags, int64_t n) {
  std::vector<int64_t> ranks;
  for (const int64_t rank : flags.rank) ranks.push_back(std::min(rank, n));
  if (ranks.empty()) ranks.push_back(std::max<int64_t>(1, n / 4));
  return ranks;
}

std::string three_digits(double value) { return fmt::format("{:.3f}", value); }

// Shares at rank k: the mean of the heads, and the least and the largest of a head. [l, h]
at::Tensor shares_at(const analysis::Spectrum& spectrum, int64_t k) {
  return spectrum.cumulative.select(2, k - 1);
}

void print(const analysis::Spectrum& spectrum, const std::vector<int64_t>& ranks, double share,
           std::ostream& out) {
  const int64_t layers = spectrum.rank.size(0), heads = spectrum.rank.size(1);
  out << fmt::format("n = {}, {}: {} of {}, softmax(s q k^T) of the model's own q and k\n",
                     spectrum.length, counted(spectrum.sequences, "sequence"),
                     counted(layers, "layer"), counted(heads, "head"));
  std::vector<std::string> heading = {"layer"};
  for (const int64_t k : ranks) {
    heading.push_back(fmt::format("share at {}", k));
    heading.insert(heading.end(), {"least head", "most"});
  }
  heading.push_back(fmt::format("rank of {}", percent(share, 0)));
  Table table(heading);
  const auto add_row = [&](const std::string& name, const at::Tensor& of_layers,
                           const at::Tensor& rank) {
    std::vector<std::string> row = {name};
    for (int64_t i = 0; i < of_layers.size(0); ++i) {
      const at::Tensor shares = of_layers[i];
      for (const at::Tensor& value : {shares.mean(), shares.min(), shares.max()}) {
        row.push_back(three_digits(value.item<double>()));
      }
    }
    row.push_back(fmt::format("{:.1f}", rank.mean().item<double>()));
    table.add_row(row);
  };
  std::vector<at::Tensor> at_ranks;
  for (const int64_t k : ranks) at_ranks.push_back(shares_at(spectrum, k));
  const at::Tensor shares = at::stack(at_ranks);  // [ranks, l, h]
  for (int64_t layer = 0; layer < layers; ++layer) {
    add_row(fmt::format("{}", layer), shares.select(1, layer), spectrum.rank[layer]);
  }
  add_row("all", shares.flatten(1), spectrum.rank);
  table.print(out);
}

std::vector<double> numbers(const at::Tensor& row) {
  const at::Tensor values = row.to(at::kDouble).contiguous();
  return {values.const_data_ptr<double>(), values.const_data_ptr<double>() + values.numel()};
}

Json to_json(const analysis::Spectrum& spectrum, const std::vector<int64_t>& ranks, double share) {
  Json json = {{"n", spectrum.length},
               {"sequences", spectrum.sequences},
               {"share", share},
               {"mean_rank", spectrum.rank.mean().item<double>()},
               {"layers", Json::array()}};
  for (int64_t layer = 0; layer < spectrum.rank.size(0); ++layer) {
    Json of_layer = {{"layer", layer}, {"heads", Json::array()}};
    for (int64_t head = 0; head < spectrum.rank.size(1); ++head) {
      Json shares = Json::object();
      for (const int64_t k : ranks) {
        shares[std::to_string(k)] = spectrum.cumulative[layer][head][k - 1].item<double>();
      }
      of_layer["heads"].push_back({{"head", head},
                                   {"rank", spectrum.rank[layer][head].item<double>()},
                                   {"shares", std::move(shares)},
                                   {"cumulative", numbers(spectrum.cumulative[layer][head])}});
    }
    json["layers"].push_back(std::move(of_layer));
  }
  return json;
}

void print(const std::vector<analysis::Spectrum>& spectra, const SpectrumFlags& flags,
           std::ostream& out) {
  Json json = Json::array();
  for (size_t i = 0; i < spectra.size(); ++i) {
    const std::vector<int64_t> ranks = ranks_of(flags, spectra[i].length);
    json.push_back(to_json(spectra[i], ranks, flags.share));
    if (flags.sample.json) continue;
    if (i > 0) out << '\n';
    print(spectra[i], ranks, flags.share, out);
  }
  if (flags.sample.json) out << json.dump(2) << '\n';
}

io::LinePlot curves_of(const analysis::Spectrum& spectrum) {
  io::LinePlot plot{
      .title = fmt::format("Singular values of attention matrices, n = {}", spectrum.length),
      .x_label = "singular values",
      .y_label = "share of their sum, mean of the heads",
      .curves = {}};
  std::vector<double> places;
  for (int64_t k = 1; k <= spectrum.length; ++k) places.push_back(static_cast<double>(k));
  for (int64_t layer = 0; layer < spectrum.rank.size(0); ++layer) {
    plot.curves.push_back(
        {fmt::format("layer {}", layer), places, numbers(spectrum.cumulative[layer].mean(0))});
  }
  return plot;
}

io::MatrixPlot heat_map_of(const analysis::Spectrum& spectrum, int64_t k) {
  io::MatrixPlot plot{
      .title = fmt::format("Share of the first {} of {} singular values", k, spectrum.length),
      .x_label = "head",
      .y_label = "layer",
      .columns = {},
      .rows = {},
      .values = {}};
  const at::Tensor shares = shares_at(spectrum, k);
  for (int64_t head = 0; head < shares.size(1); ++head)
    plot.columns.push_back(std::to_string(head));
  for (int64_t layer = 0; layer < shares.size(0); ++layer) {
    plot.rows.push_back(std::to_string(layer));
    plot.values.push_back(numbers(shares[layer]));
  }
  return plot;
}

}  // namespace

void add(CLI::App& app, SpectrumFlags& flags) {
  add(app, flags.sample);
  app.add_option("--n", flags.n,
                 "tokens of a sequence, one or several lengths separated by commas (default: what "
                 "the model takes, 512 at most)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(whole_number(1, 65536))
      ->type_name("");
  app.add_option("--rank", flags.rank, "how many singular values (default: n / 4)")
      ->delimiter(',')
      ->allow_extra_args(false)
      ->check(whole_number(1, 65536))
      ->type_name("");
  app.add_option("--share", flags.share, "whose rank is told")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--plot", flags.plot, "PNG to draw: the shares against the rank, a curve a layer")
      ->type_name("");
  app.add_option("--heat-map", flags.heat_map, "PNG to draw: the share of each layer and head")
      ->type_name("");
  app.footer(
      "The matrices are softmax(s q k^T) of the model's own q and k, whatever attention it has. A\n"
      "picture is of the last n.\n\n"
      "EXAMPLE\n"
      "  lowrank analyze spectrum models/minilm novels/ --n 128,256,512 --plot spectrum.png");
}

int run(const SpectrumFlags& flags, const Console& console) {
  require_folder("--plot", flags.plot);
  require_folder("--heat-map", flags.heat_map);
  std::vector<int64_t> lengths = flags.n;
  const int64_t longest = lengths.empty() ? 1 : *std::max_element(lengths.begin(), lengths.end());
  const serve::TextModel model = load(flags.sample, longest);
  if (lengths.empty()) lengths.push_back(std::min(kUsualLength, model.max_length));
  const std::vector<Samples> samples = sample(model, flags.sample, lengths, console);
  MeasuredProgress progress(console, samples.size());
  std::vector<analysis::Spectrum> spectra;
  for (const Samples& of_length : samples) {
    spectra.push_back(analysis::spectrum(*model.model, of_length.sequences, flags.share,
                                         progress.next(fmt::format("n = {}", of_length.length))));
  }
  progress.wipe();
  print(spectra, flags, console.out);
  const analysis::Spectrum& last = spectra.back();
  draw(curves_of(last), flags.plot, console);
  draw(heat_map_of(last, ranks_of(flags, last.length).front()), flags.heat_map, console);
  return kDone;
}

}  // namespace lowrank::cli
