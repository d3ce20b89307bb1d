// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/batches.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <numeric>

#include "lowrank/models/derive.h"

namespace lowrank::serve {
namespace {

constexpr int64_t kPositionStep = 64;
constexpr size_t kMostTexts = 8192;  // of a window: short ones too

int64_t length_of(const Piece& piece) { return std::ssize(piece.encoded.ids); }

models::Inputs inputs_of(const std::vector<const Piece*>& pieces, const std::vector<size_t>& batch,
                         const models::Model& model) {
  std::vector<int64_t> tokens, segments, offsets = {0};
  for (const size_t i : batch) {
    const text::Encoded& encoded = pieces[i]->encoded;
    tokens.insert(tokens.end(), encoded.ids.begin(), encoded.ids.end());
    segments.insert(segments.end(), encoded.segments.begin(), encoded.segments.end());
    offsets.push_back(std::ssize(tokens));
  }
  const at::Device device = model.parameters().front().device();
  models::Inputs inputs{
      at::tensor(tokens, at::kLong).to(device), at::tensor(offsets, at::kLong), {}};
  if (model.config().embeddings.segments > 0) {
    inputs.segments = at::tensor(segments, at::kLong).to(device);
  }
  return inputs;
}

}  // namespace

BatchRunner::BatchRunner(const TextModel& model, int64_t token_budget)
    : model_(model.model), max_length_(model.max_length), token_budget_(token_budget) {
  if (token_budget < 1) {
    throw Error(
        fmt::format("token_budget = {}; a batch has at least one token. Raise it.", token_budget));
  }
}

// Rows of positions that a sequence needs beyond the model's own; 0: it needs none.
int64_t BatchRunner::positions_for(int64_t tokens) const {
  if (tokens <= max_length_) return 0;
  const int64_t step = kPositionStep * model_->config().embeddings.patch;
  return (tokens + step - 1) / step * kPositionStep;
}

models::Model& BatchRunner::model_with(int64_t positions) {
  if (positions == 0) return *model_;
  if (!longer_ || longer_->config().embeddings.max_positions != positions) {
    longer_.reset();  // before the next one takes memory
    longer_ = models::with_positions(*model_, positions, models::PositionRule::kInterpolate);
    longer_->eval();
  }
  return *longer_;
}

void BatchRunner::for_each_batch(const std::vector<const Piece*>& pieces, const Forward& forward,
                                 const Use& use) {
  const at::NoGradGuard no_grad;
  std::vector<size_t> order(pieces.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return length_of(*pieces[a]) < length_of(*pieces[b]);
  });
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    int64_t tokens = length_of(*pieces[order[end++]]);
    const int64_t positions = positions_for(tokens);
    while (end < order.size()) {
      const int64_t next = length_of(*pieces[order[end]]);
      if (tokens + next > token_budget_ || positions_for(next) != positions) break;
      tokens += next;
      ++end;
    }
    const std::vector<size_t> batch(order.begin() + static_cast<std::ptrdiff_t>(begin),
                                    order.begin() + static_cast<std::ptrdiff_t>(end));
    models::Model& model = model_with(positions);
    const models::Inputs inputs = inputs_of(pieces, batch, model);
    use(batch, inputs, forward(model, inputs).cpu());
    if (progress_) progress_(tokens);
  }
}

at::Tensor BatchRunner::run(const std::vector<const Piece*>& pieces, const Forward& forward) {
  at::Tensor all;
  for_each_batch(
      pieces, forward,
      [&](const std::vector<size_t>& batch, const models::Inputs&, const at::Tensor& output) {
        if (!all.defined()) {
          std::vector<int64_t> sizes = output.sizes().vec();
          sizes[0] = std::ssize(pieces);
          all = at::empty(sizes, output.options());
        }
        std::vector<int64_t> places(batch.begin(), batch.end());
        all.index_copy_(0, at::tensor(places, at::kLong), output);
      });
  return all;
}

std::vector<at::Tensor> BatchRunner::run_rows(const std::vector<const Piece*>& pieces,
                                              const Forward& forward) {
  std::vector<at::Tensor> all(pieces.size());
  for_each_batch(pieces, forward,
                 [&](const std::vector<size_t>& batch, const models::Inputs& inputs,
                     const at::Tensor& output) {
                   const int64_t* offsets = inputs.offsets.const_data_ptr<int64_t>();
                   for (size_t i = 0; i < batch.size(); ++i) {
                     all[batch[i]] = output.slice(0, offsets[i], offsets[i + 1]);
                   }
                 });
  return all;
}

void PieceWindow::add(Pieces text) {
  held_ += text.tokens();
  texts_.push_back(std::move(text));
  if (held_ >= tokens_ || texts_.size() == kMostTexts) flush();
}

void PieceWindow::flush() {
  if (texts_.empty()) return;
  use_(texts_);
  texts_.clear();
  held_ = 0;
}

std::vector<const Piece*> all_pieces(const std::vector<Pieces>& texts) {
  std::vector<const Piece*> all;
  for (const Pieces& text : texts) {
    for (const Piece& piece : text.pieces) all.push_back(&piece);
  }
  return all;
}

at::Tensor weighted_means(const at::Tensor& values, const std::vector<Pieces>& texts) {
  std::vector<at::Tensor> means;
  int64_t row = 0;
  for (const Pieces& text : texts) {
    const int64_t count = std::ssize(text.pieces);
    const at::Tensor rows = values.slice(0, row, row + count);
    row += count;
    if (count == 1) {  // the row itself, to the bit
      means.push_back(rows[0]);
      continue;
    }
    std::vector<double> weights;
    for (const Piece& piece : text.pieces) weights.push_back(static_cast<double>(piece.weight));
    at::Tensor share = at::tensor(weights, at::kDouble);
    share = share / share.sum();
    means.push_back(at::tensordot(share, rows.to(at::kDouble), {0}, {0}).to(values.scalar_type()));
  }
  return at::stack(means);
}

}  // namespace lowrank::serve
