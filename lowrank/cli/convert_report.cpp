// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/convert_report.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <limits>

#include "lowrank/base/config.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/table.h"
#include "lowrank/models/derive.h"
#include "lowrank/ops/counting_allocator.h"

namespace lowrank::cli {
namespace {

constexpr int kRepeats = 3;

struct Measured {
  double seconds = std::numeric_limits<double>::infinity();
  int64_t peak_bytes = 0;
};

Measured measure(const models::Model& model, const models::Inputs& inputs) {
  const at::NoGradGuard no_grad;
  const int64_t n = inputs.tokens.numel();
  const bool fits = n <= models::longest_sequence(model.config());
  // A copy on purpose: its weights are packed anew, as in a program that has just started.
  const std::shared_ptr<models::Model> longer = models::with_positions(
      model, std::max(n, model.config().embeddings.max_positions), models::PositionRule::kTile);
  longer->eval();
  Measured measured;
  if (!fits && models::longest_sequence(longer->config()) < n) return measured;
  longer->encode(inputs);
  for (int i = 0; i < kRepeats; ++i) {
    const PeakBytes peak;
    const auto start = std::chrono::steady_clock::now();
    longer->encode(inputs);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    measured.seconds = std::min(measured.seconds, took.count());
    measured.peak_bytes = peak.value();
  }
  return measured;
}

std::string mebibytes(int64_t bytes) {
  return fmt::format("{:.0f} MiB", static_cast<double>(bytes) / (1024.0 * 1024.0));
}

std::string milliseconds(double seconds) {
  return std::isfinite(seconds) ? fmt::format("{:.0f} ms", seconds * 1e3) : "too long";
}

std::string ended(const train::DistillResult& result) {
  switch (result.ended) {
    case train::DistillResult::Ended::kTarget:
      return "the target is reached";
    case train::DistillResult::Ended::kNoProgress:
      return "stopped early, three evaluations brought nothing";
    case train::DistillResult::Ended::kInterrupted:
      return "interrupted";
    case train::DistillResult::Ended::kDone:
      break;
  }
  return "done";
}

void print_closeness(const ConvertReport& report, std::ostream& out) {
  const bool trained = report.distilled.has_value();
  const models::Closeness& before = *report.before;
  const models::Closeness& after = trained ? report.distilled->after : before;
  std::vector<std::string> heading = {"hidden states after", trained ? "error before" : "error"};
  if (trained) heading.emplace_back("error after training");
  Table table(heading);
  for (size_t i = 0; i < before.state_errors.size(); ++i) {
    std::vector<std::string> row = {i == 0 ? "embeddings" : fmt::format("layer {}", i - 1),
                                    fmt::format("{:.4f}", before.state_errors[i])};
    if (trained) row.push_back(fmt::format("{:.4f}", after.state_errors[i]));
    table.add_row(std::move(row));
  }
  out << '\n';
  table.print(out);
  out << fmt::format("cosine of the vectors of {}: mean {:.4f}, least {:.4f}",
                     counted(before.sequences, "text"), before.mean_cosine, before.least_cosine);
  if (trained) {
    out << fmt::format("; after training mean {:.4f}, least {:.4f}", after.mean_cosine,
                       after.least_cosine);
  }
  out << '\n';
  if (!trained) return;
  const train::DistillResult& result = *report.distilled;
  out << fmt::format("training: {}, {} tokens, {}; {}\n", counted(result.steps, "step"),
                     grouped(result.tokens), duration(result.seconds), ended(result));
}

void print_costs(const std::vector<ConvertCost>& costs, std::ostream& out) {
  if (costs.empty()) return;
  Table table({"tokens", "time before", "after", "ratio", "memory before", "after"});
  for (const ConvertCost& cost : costs) {
    const double ratio = cost.seconds_before / cost.seconds_after;
    table.add_row({grouped(cost.n), milliseconds(cost.seconds_before),
                   milliseconds(cost.seconds_after),
                   std::isfinite(ratio) ? fmt::format("{:.1f}", ratio) : "",
                   mebibytes(cost.peak_bytes_before), mebibytes(cost.peak_bytes_after)});
  }
  out << '\n';
  table.print(out);
}

Json to_json(const models::Closeness& closeness) {
  return {{"sequences", closeness.sequences},
          {"mean_cosine", closeness.mean_cosine},
          {"least_cosine", closeness.least_cosine},
          {"state_errors", closeness.state_errors}};
}

Json to_json(const ConvertReport& report) {
  Json json = {{"source", report.what}, {"model", report.is}};
  if (!report.alone.empty()) json["cosine_with_one_layer"] = report.alone;
  if (report.before) json["before"] = to_json(*report.before);
  if (report.distilled) {
    json["after"] = to_json(report.distilled->after);
    json["training"] = {{"steps", report.distilled->steps},
                        {"tokens", report.distilled->tokens},
                        {"seconds", report.distilled->seconds},
                        {"ended", ended(*report.distilled)}};
  }
  for (const ConvertCost& cost : report.costs) {
    json["costs"].push_back({{"n", cost.n},
                             {"seconds_before", cost.seconds_before},
                             {"seconds_after", cost.seconds_after},
                             {"peak_bytes_before", cost.peak_bytes_before},
                             {"peak_bytes_after", cost.peak_bytes_after}});
  }
  return json;
}

}  // namespace

ConvertCost cost_of(const models::Model& before, const models::Model& after, int64_t n) {
  CountingAllocator::install();
  const int64_t vocabulary = before.config().embeddings.vocabulary;
  const at::Tensor tokens =
      (at::arange(n, at::kLong) * 7919).remainder(vocabulary);  // all over the table
  const models::Inputs inputs = {tokens, at::tensor({int64_t{0}, n}, at::kLong), {}};
  const Measured first = measure(before, inputs), second = measure(after, inputs);
  return {n, first.seconds, second.seconds, first.peak_bytes, second.peak_bytes};
}

void print(const ConvertReport& report, bool json, const Console& console) {
  if (json) {
    console.out << to_json(report).dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
    return;
  }
  console.out << fmt::format("{}: {}\n", report.what, report.is);
  for (size_t i = 0; i < report.alone.size(); ++i) {
    console.out << fmt::format("with layer {} alone replaced the mean cosine is {:.4f}\n", i,
                               report.alone[i]);
  }
  if (report.before) print_closeness(report, console.out);
  print_costs(report.costs, console.out);
}

}  // namespace lowrank::cli
