// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/reading.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace lowrank::serve {
namespace {

std::vector<const Piece*> all_pieces(const std::vector<Reading>& readings) {
  std::vector<const Piece*> all;
  for (const Reading& reading : readings) {
    for (const Piece& piece : reading.pieces.pieces) all.push_back(&piece);
  }
  return all;
}

// A tensor a piece, sorted by reading.
std::vector<std::vector<at::Tensor>> by_reading(const std::vector<Reading>& readings,
                                                const std::vector<at::Tensor>& of_pieces) {
  std::vector<std::vector<at::Tensor>> sorted;
  auto next = of_pieces.begin();
  for (const Reading& reading : readings) {
    const auto end = next + std::ssize(reading.pieces.pieces);
    sorted.emplace_back(next, end);
    next = end;
  }
  return sorted;
}

BatchRunner runner(const TextModel& model, const RunOptions& options) {
  const bool alone = models::is_padded(model.model->config());
  BatchRunner batches(model, alone ? 1 : options.token_budget);
  batches.on_progress(options.progress);
  return batches;
}

}  // namespace

Reading read(const TextModel& model, const TextInput& input, const PieceOptions& options) {
  return {
      .input = input, .pieces = PieceCutter(model, options).cut(input), .stride = options.stride};
}

void require_task(const TextModel& model, models::Task task) {
  const models::Task found = model.model->config().task;
  if (found == task) return;
  const bool vowel = found == models::Task::kEncoder;
  throw Error(fmt::format("{} is {} {}; a {} is needed here. Use \"lowrank {}\" with it.",
                          model.folder.string(), vowel ? "an" : "a", models::in_words(found),
                          models::in_words(task), command_for(found)));
}

std::string command_for(models::Task task) {
  if (task == models::Task::kEncoder) return "embed";
  return task == models::Task::kMaskedLanguageModel ? "fill" : "predict";
}

std::vector<std::vector<at::Tensor>> rows_of(const TextModel& model,
                                             const std::vector<Reading>& readings,
                                             const RunOptions& options) {
  const auto encode = [](models::Model& any, const models::Inputs& inputs) {
    return any.encode(inputs).x;
  };
  return by_reading(readings, runner(model, options).run_rows(all_pieces(readings), encode));
}

std::vector<std::vector<at::Tensor>> logits_of(const TextModel& model,
                                               const std::vector<Reading>& readings,
                                               const RunOptions& options) {
  const auto forward = [](models::Model& any, const models::Inputs& inputs) {
    return any.logits(inputs).to(at::kDouble);
  };
  const std::vector<const Piece*> pieces = all_pieces(readings);
  if (pieces.empty()) return {};
  BatchRunner batches = runner(model, options);
  return by_reading(readings, models::is_about_tokens(model.model->config().task)
                                  ? batches.run_rows(pieces, forward)
                                  : batches.run(pieces, forward).unbind(0));
}

at::Tensor logits_of_rows(const TextModel& model, const at::Tensor& rows) {
  const at::NoGradGuard no_grad;
  const at::Tensor offsets = at::tensor({int64_t{0}, rows.size(0)}, at::kLong);
  const at::Device device = model.model->parameters().front().device();
  return model.model->head({rows.to(device), offsets}).to(at::kCPU).to(at::kDouble);
}

}  // namespace lowrank::serve
