// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string_view>

namespace lowrank::train {
namespace {

double ratio(int64_t part, int64_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

int64_t of_class(const Confusion& confusion, size_t k) {
  return std::accumulate(confusion[k].begin(), confusion[k].end(), int64_t{0});
}

int64_t called(const Confusion& confusion, size_t k) {
  int64_t count = 0;
  for (const auto& row : confusion) count += row[k];
  return count;
}

int64_t hits(const Confusion& confusion) {
  int64_t count = 0;
  for (size_t k = 0; k < confusion.size(); ++k) count += confusion[k][k];
  return count;
}

int64_t size(const Confusion& confusion) {
  int64_t count = 0;
  for (size_t k = 0; k < confusion.size(); ++k) count += of_class(confusion, k);
  return count;
}

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// From 1; equal values share the mean of their ranks.
std::vector<double> ranks(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> result(values.size());
  for (size_t begin = 0; begin < order.size();) {
    size_t end = begin + 1;
    while (end < order.size() && values[order[end]] == values[order[begin]]) ++end;
    const double shared = static_cast<double>(begin + end + 1) / 2;
    for (size_t i = begin; i < end; ++i) result[order[i]] = shared;
    begin = end;
  }
  return result;
}

// "B-PER" is B and PER, "O" is O and nothing.
struct Tag {
  char letter = 'O';
  std::string_view label;
};

Tag parse(std::string_view tag) {
  if (tag.empty()) return {};
  const size_t hyphen = tag.find('-', 1);
  const std::string_view label =
      hyphen == std::string_view::npos ? tag.substr(1) : tag.substr(hyphen + 1);
  return {tag[0], label.empty() ? "_" : label};
}

bool ends_span(const Tag& before, const Tag& tag) {
  if (before.letter == 'O') return false;
  return before.letter == 'E' || before.letter == 'S' || tag.letter == 'B' || tag.letter == 'S' ||
         tag.letter == 'O' || before.label != tag.label;
}

bool begins_span(const Tag& before, const Tag& tag) {
  if (tag.letter == 'O') return false;
  return tag.letter == 'B' || tag.letter == 'S' || before.letter == 'E' || before.letter == 'S' ||
         before.letter == 'O' || before.label != tag.label;
}

}  // namespace

const std::vector<std::pair<std::string, Metric>>& metric_names() {
  static const std::vector<std::pair<std::string, Metric>> names = {{"default", Metric::kDefault},
                                                                    {"accuracy", Metric::kAccuracy},
                                                                    {"f1", Metric::kF1},
                                                                    {"macro_f1", Metric::kMacroF1},
                                                                    {"matthews", Metric::kMatthews},
                                                                    {"pearson", Metric::kPearson},
                                                                    {"spearman", Metric::kSpearman},
                                                                    {"span_f1", Metric::kSpanF1},
                                                                    {"loss", Metric::kLoss}};
  return names;
}

double accuracy(const Confusion& confusion) { return ratio(hits(confusion), size(confusion)); }

double precision(const Confusion& confusion, size_t k) {
  return ratio(confusion[k][k], called(confusion, k));
}

double recall(const Confusion& confusion, size_t k) {
  return ratio(confusion[k][k], of_class(confusion, k));
}

double f1(const Confusion& confusion, size_t k) {
  return ratio(2 * confusion[k][k], of_class(confusion, k) + called(confusion, k));
}

double macro_f1(const Confusion& confusion) {
  double sum = 0;
  int64_t occurring = 0;
  for (size_t k = 0; k < confusion.size(); ++k) {
    sum += f1(confusion, k);
    occurring += of_class(confusion, k) + called(confusion, k) > 0 ? 1 : 0;
  }
  return sum / static_cast<double>(std::max<int64_t>(occurring, 1));
}

double micro_f1(const Confusion& confusion) {
  return ratio(2 * hits(confusion), 2 * size(confusion));
}

double weighted_f1(const Confusion& confusion) {
  double sum = 0;
  for (size_t k = 0; k < confusion.size(); ++k) {
    sum += static_cast<double>(of_class(confusion, k)) * f1(confusion, k);
  }
  return sum / static_cast<double>(std::max<int64_t>(size(confusion), 1));
}

double matthews(const Confusion& confusion) {
  const auto s = static_cast<double>(size(confusion));
  double both = 0, of_truth = 0, of_predicted = 0;
  for (size_t k = 0; k < confusion.size(); ++k) {
    const auto t = static_cast<double>(of_class(confusion, k));
    const auto p = static_cast<double>(called(confusion, k));
    both += t * p;
    of_truth += t * t;
    of_predicted += p * p;
  }
  const double root = std::sqrt(s * s - of_truth) * std::sqrt(s * s - of_predicted);
  return root == 0 ? 0 : (s * static_cast<double>(hits(confusion)) - both) / root;
}

double pearson(std::span<const double> x, std::span<const double> y) {
  constexpr double kNone = std::numeric_limits<double>::quiet_NaN();
  const auto constant = [](std::span<const double> values) {
    return std::all_of(values.begin(), values.end(), [&](double v) { return v == values[0]; });
  };
  if (x.size() < 2 || constant(x) || constant(y)) return kNone;
  const double mean_x = mean(x), mean_y = mean(y);
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double dx = x[i] - mean_x, dy = y[i] - mean_y;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return std::clamp(xy / (std::sqrt(xx) * std::sqrt(yy)), -1.0, 1.0);
}

double spearman(std::span<const double> x, std::span<const double> y) {
  return pearson(ranks(x), ranks(y));
}

double mean_squared_error(std::span<const double> x, std::span<const double> y) {
  double sum = 0;
  for (size_t i = 0; i < x.size(); ++i) sum += (x[i] - y[i]) * (x[i] - y[i]);
  return x.empty() ? 0 : sum / static_cast<double>(x.size());
}

std::vector<WordSpan> spans_of(const std::vector<std::string>& tags) {
  std::vector<WordSpan> spans;
  Tag before;
  size_t first = 0;
  for (size_t i = 0; i <= tags.size(); ++i) {
    const Tag tag = i < tags.size() ? parse(tags[i]) : Tag{};
    if (ends_span(before, tag)) spans.push_back({std::string(before.label), first, i - 1});
    if (begins_span(before, tag)) first = i;
    before = tag;
  }
  return spans;
}

bool are_span_tags(const std::vector<std::string>& tags) {
  return std::all_of(tags.begin(), tags.end(), [](std::string_view tag) {
    return tag == "O" || (tag.size() > 2 && tag[1] == '-' &&
                          std::string_view("BIES").find(tag[0]) != std::string_view::npos);
  });
}

void SpanScore::add(const std::vector<std::string>& truth,
                    const std::vector<std::string>& predicted_tags) {
  const std::vector<WordSpan> right = spans_of(truth), found = spans_of(predicted_tags);
  of_truth += static_cast<int64_t>(right.size());
  predicted += static_cast<int64_t>(found.size());
  for (const WordSpan& span : found) {
    hits += std::find(right.begin(), right.end(), span) != right.end() ? 1 : 0;
  }
}

double SpanScore::precision() const { return ratio(hits, predicted); }
double SpanScore::recall() const { return ratio(hits, of_truth); }
double SpanScore::f1() const { return ratio(2 * hits, of_truth + predicted); }

}  // namespace lowrank::train
