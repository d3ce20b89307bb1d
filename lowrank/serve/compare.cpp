// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/compare.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include "lowrank/serve/batches.h"

namespace lowrank::serve {

Reading read_two(const TextModel& model, const TextInput& input, const PieceOptions& options) {
  if (!input.pair) {
    throw Error(
        fmt::format("{}: there is one text; a retrieval model compares two. Give a \"pair\", or a "
                    "second text after a tab.",
                    input.source));
  }
  if (options.on_overflow == Overflow::kChunk) {
    throw Error(
        fmt::format("{} = chunk; two texts are compared as whole sequences. Use error, truncate or "
                    "interpolate.",
                    options.words.on_overflow));
  }
  const std::vector<TextInput> texts = {{.text = input.text, .source = input.source},
                                        {.text = *input.pair, .source = input.source}};
  return {.input = input, .pieces = PieceCutter(model, options).cut_whole(texts)};
}

std::vector<std::vector<double>> compare(const TextModel& model,
                                         const std::vector<Reading>& readings,
                                         const RunOptions& options) {
  require_task(model, models::Task::kRetrieval);
  if (readings.empty()) return {};
  std::vector<const Piece*> pieces;
  for (const Reading& reading : readings) {
    for (const Piece& piece : reading.pieces.pieces) pieces.push_back(&piece);
  }
  const at::NoGradGuard no_grad;
  const auto pool = [](models::Model& any, const models::Inputs& inputs) {
    return any.pool(any.encode(inputs), any.config().pooling);
  };
  BatchRunner runner(model, options.token_budget);
  runner.on_progress(options.progress);
  const at::Tensor pooled = runner.run(pieces, pool);
  const at::Tensor weight = model.model->parameters().front();
  const at::Tensor probabilities = model.model->head_of_pooled(pooled.to(weight.options()))
                                       .to(at::kCPU)
                                       .to(at::kDouble)
                                       .softmax(1)
                                       .contiguous();
  std::vector<std::vector<double>> rows;
  for (int64_t i = 0; i < probabilities.size(0); ++i) {
    const double* row = probabilities.const_data_ptr<double>() + i * probabilities.size(1);
    rows.emplace_back(row, row + probabilities.size(1));
  }
  return rows;
}

}  // namespace lowrank::serve
