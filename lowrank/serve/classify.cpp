// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/classify.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

namespace lowrank::serve {
namespace {

std::vector<double> numbers(const at::Tensor& values) {
  const at::Tensor own = values.contiguous();
  return {own.const_data_ptr<double>(), own.const_data_ptr<double>() + own.numel()};
}

// [classes], of an input's pieces [pieces][classes].
at::Tensor mean_of(const std::vector<at::Tensor>& pieces, const Pieces& weights) {
  if (pieces.size() == 1) return pieces[0];
  at::Tensor sum = at::zeros_like(pieces[0]);
  double total = 0;
  for (size_t i = 0; i < pieces.size(); ++i) {
    const auto weight = static_cast<double>(weights.pieces[i].weight);
    sum += weight * pieces[i];
    total += weight;
  }
  return sum / total;
}

}  // namespace

std::vector<std::vector<double>> classify(const TextModel& model,
                                          const std::vector<Reading>& readings,
                                          const RunOptions& options) {
  require_task(model, models::Task::kClassification);
  auto logits = logits_of(model, readings, options);
  std::vector<std::vector<double>> probabilities;
  for (size_t i = 0; i < logits.size(); ++i) {
    for (at::Tensor& piece : logits[i]) {
      if (piece.size(0) > 1) piece = piece.softmax(0);
    }
    probabilities.push_back(numbers(mean_of(logits[i], readings[i].pieces)));
  }
  return probabilities;
}

Reading read_choices(const TextModel& model, const TextInput& input,
                     const std::vector<std::string>& choices, const PieceOptions& options) {
  if (choices.empty()) {
    throw Error(fmt::format(
        "{}: it has no choices; there is nothing to choose from. Give two or more.", input.source));
  }
  if (options.on_overflow == Overflow::kChunk) {
    throw Error(fmt::format(
        "{} = chunk; choices compete as whole sequences. Use error, truncate or interpolate.",
        options.words.on_overflow));
  }
  std::vector<TextInput> pairs;
  for (const std::string& choice : choices) {
    pairs.push_back({.text = input.text, .pair = choice, .source = input.source});
  }
  return {.input = input, .pieces = PieceCutter(model, options).cut_whole(pairs)};
}

std::vector<std::vector<double>> choose(const TextModel& model,
                                        const std::vector<Reading>& readings,
                                        const RunOptions& options) {
  require_task(model, models::Task::kMultipleChoice);
  std::vector<std::vector<double>> probabilities;
  for (const auto& scores : logits_of(model, readings, options)) {
    probabilities.push_back(numbers(at::cat(scores).softmax(0)));
  }
  return probabilities;
}

std::vector<size_t> best_of(const std::vector<double>& values, int64_t top) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return values[a] > values[b]; });
  order.resize(std::min(order.size(), static_cast<size_t>(top)));
  return order;
}

}  // namespace lowrank::serve
