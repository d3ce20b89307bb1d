// SPDX-License-Identifier: Apache-2.0
#include "lowrank/nn/embeddings.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/nn/init.h>

#include <algorithm>
#include <cmath>

#include "lowrank/nn/initialize.h"
#include "lowrank/nn/ragged.h"

namespace lowrank::nn {
namespace {

constexpr uint64_t kGoldenRatio = 0x9E3779B97F4A7C15;  // 2^64 / phi, odd

void check_range(const at::Tensor& ids, int64_t limit, const char* what, const char* remedy) {
  if (ids.numel() == 0) return;
  const auto [least, greatest] = ids.aminmax();
  const int64_t low = least.item<int64_t>(), high = greatest.item<int64_t>();
  TORCH_CHECK_VALUE(low >= 0 && high < limit, "lowrank::nn::Embeddings: ", what, " ids run from ",
                    low, " to ", high, "; the model knows 0 to ", limit - 1, ". ", remedy);
}

// Sum of the table's rows indices[starts[i]] .. indices[starts[i + 1] - 1], for each i.
at::Tensor sum_rows(const at::Tensor& table, const at::Tensor& indices, const at::Tensor& starts) {
  return std::get<0>(at::embedding_bag(table, indices, starts.to(indices.device())));
}

// [length, c]: sine and cosine of place / 10000^(2 i / c), interleaved.
at::Tensor sinusoids(int64_t length, int64_t c) {
  constexpr int64_t kRows = 4096;  // at a time: float64 and its steps take many times the table
  const at::Tensor channel = at::arange(c, at::kDouble);
  const at::Tensor is_even = channel.remainder(2).eq(0);
  const at::Tensor rate =
      ((channel - channel.remainder(2)) * (-std::log(10000.0) / static_cast<double>(c))).exp();
  at::Tensor table = at::empty({length, c}, at::kFloat);
  for (int64_t begin = 0; begin < length; begin += kRows) {
    const int64_t end = std::min(begin + kRows, length);
    const at::Tensor angle = at::arange(begin, end, at::kDouble).unsqueeze(1) * rate;
    table.slice(0, begin, end).copy_(at::where(is_even, angle.sin(), angle.cos()));
  }
  return table;
}

}  // namespace

EmbeddingsImpl::EmbeddingsImpl(const EmbeddingsOptions& options) : options_(options) {
  const int64_t c = options.width;
  if (options.kind == EmbeddingKind::kNgrams) {
    TORCH_CHECK_VALUE(
        !options.ngrams.empty() && options.buckets >= 1 && options.buckets < INT32_MAX,
        "lowrank::nn::Embeddings: ngrams has ", options.ngrams.size(), " lengths of ",
        options.buckets, " buckets; both must be at least 1.");
    const auto lengths = static_cast<int64_t>(options.ngrams.size());
    ngrams_ = register_parameter("ngrams", at::empty({lengths * options.buckets, c}));
  } else {
    tokens_ = register_parameter("tokens", at::empty({options.vocabulary, c}));
  }
  if (options.kind == EmbeddingKind::kConvolution) {
    convolution_ = register_module("convolution", torch::nn::Linear(options.patch * c, c));
  }
  if (options.positions == Positions::kLearned) {
    positions_ = register_parameter(
        "positions", at::empty({options.position_offset + options.max_positions, c}));
  }
  if (options.positions == Positions::kSinusoidal) {
    positions_ = register_buffer("positions", sinusoids(options.max_positions, c));
  }
  if (options.segments > 0) {
    segments_ = register_parameter("segments", at::empty({options.segments, c}));
  }
  if (options.norm) {
    norm_ = register_module(
        "norm", torch::nn::LayerNorm(torch::nn::LayerNormOptions({c}).eps(options.norm_epsilon)));
  }
  reset_parameters();
}

void EmbeddingsImpl::reset_parameters() {
  const at::NoGradGuard no_grad;
  for (at::Tensor* table : {&tokens_, &ngrams_, &segments_}) {
    if (table->defined()) initialize_table(*table);
  }
  if (options_.positions == Positions::kLearned) positions_.normal_(0, 0.02);
  if (convolution_) initialize(convolution_);
  if (norm_) norm_->reset_parameters();
}

int64_t EmbeddingsImpl::bucket(const int64_t* ids, int64_t length, int64_t buckets) {
  uint64_t u = 0;
  for (int64_t i = 0; i < length; ++i) {
    u = ((u ^ (u >> 32)) + static_cast<uint64_t>(ids[i] + 1)) * kGoldenRatio;
  }
  return static_cast<int64_t>(((u >> 32) * static_cast<uint64_t>(buckets)) >> 32);
}

void EmbeddingsImpl::check_positions(const at::Tensor& row_offsets) const {
  if (options_.positions == Positions::kNone || row_offsets.numel() < 2) return;
  const int64_t longest = row_offsets.diff().max().item<int64_t>();
  TORCH_CHECK_VALUE(longest <= options_.max_positions, "lowrank::nn::Embeddings: a sequence has ",
                    longest, " rows of ", options_.patch,
                    " tokens; the model has max_positions = ", options_.max_positions,
                    ". Truncate the sequence or build the model with a larger max_positions.");
}

at::Tensor EmbeddingsImpl::sum_ngrams(const at::Tensor& tokens, const at::Tensor& offsets,
                                      const at::Tensor& starts) {
  const auto lengths = static_cast<int64_t>(options_.ngrams.size());
  const int64_t longest = *std::max_element(options_.ngrams.begin(), options_.ngrams.end());
  const at::Tensor ids = tokens.cpu().contiguous();
  const at::Tensor indices = at::empty({ids.size(0), lengths}, at::kLong);
  const int64_t* id = ids.const_data_ptr<int64_t>();
  int64_t* index = indices.mutable_data_ptr<int64_t>();
  const int64_t* offset = offsets.const_data_ptr<int64_t>();
  const int64_t* last_offset = offset + offsets.numel();
  at::parallel_for(0, ids.size(0), 4096, [&](int64_t begin, int64_t end) {
    std::vector<int64_t> history(static_cast<size_t>(longest));
    const int64_t* next = std::upper_bound(offset, last_offset, begin);
    for (int64_t t = begin; t < end; ++t) {
      while (*next <= t) ++next;
      const int64_t start = *(next - 1);
      for (int64_t i = 0; i < longest; ++i) {
        const int64_t source = t - longest + 1 + i;
        history[static_cast<size_t>(i)] = source < start ? -1 : id[source];
      }
      for (int64_t j = 0; j < lengths; ++j) {
        const int64_t length = options_.ngrams[static_cast<size_t>(j)];
        const int64_t* gram = history.data() + (longest - length);
        index[t * lengths + j] = j * options_.buckets + bucket(gram, length, options_.buckets);
      }
    }
  });
  const at::Tensor sums =
      sum_rows(ngrams_, indices.flatten().to(tokens.device()), starts * lengths);
  const at::Tensor terms = window_sizes(offsets, options_.patch) * lengths;
  return sums * terms.to(sums.options()).rsqrt().unsqueeze(1);
}

at::Tensor EmbeddingsImpl::embed(const at::Tensor& tokens, const at::Tensor& offsets,
                                 const at::Tensor& starts) {
  switch (options_.kind) {
    case EmbeddingKind::kTokens:
      return options_.patch == 1 ? at::embedding(tokens_, tokens, options_.padding_token)
                                 : sum_rows(tokens_, tokens, starts);
    case EmbeddingKind::kNgrams:
      return sum_ngrams(tokens, offsets, starts);
    case EmbeddingKind::kConvolution:
      break;
  }
  const at::Tensor vectors = at::embedding(tokens_, tokens);
  return convolution_(cut_windows(vectors, offsets, options_.patch, 0).flatten(1));
}

at::Tensor EmbeddingsImpl::embed_segments(const at::Tensor& segments, const at::Tensor& starts) {
  if (!segments.defined()) return segments_[0];
  check_range(segments, options_.segments, "segment", "Build the model with more segments.");
  return at::embedding(segments_, segments.index_select(0, starts.to(segments.device())));
}

Embedded EmbeddingsImpl::forward(const at::Tensor& tokens, const at::Tensor& offsets,
                                 const at::Tensor& segments) {
  TORCH_CHECK_TYPE(tokens.scalar_type() == at::kLong, "lowrank::nn::Embeddings: tokens are ",
                   tokens.scalar_type(), "; they must be int64. Call tokens.to(at::kLong).");
  check_offsets(offsets, tokens.size(0), "lowrank::nn::Embeddings");
  check_range(tokens, options_.vocabulary, "token",
              "Use the tokenizer that the model was trained with.");
  const at::Tensor row_offsets = window_offsets(offsets, options_.patch);
  check_positions(row_offsets);

  const at::Tensor place = places(row_offsets);  // of each row in its sequence
  const at::Tensor sequence_starts = offsets.slice(0, 0, -1).repeat_interleave(row_offsets.diff());
  const at::Tensor starts = sequence_starts + place * options_.patch;  // first token of each row
  at::Tensor x = embed(tokens, offsets.contiguous(), starts);
  if (positions_.defined()) {
    const int64_t first = options_.positions == Positions::kLearned ? options_.position_offset : 0;
    x = x + at::embedding(positions_, (place + first).to(x.device()));
  }
  if (segments_.defined()) x = x + embed_segments(segments, starts);
  if (norm_) x = norm_(x);
  return {at::dropout(x, options_.dropout, is_training()), row_offsets};
}

}  // namespace lowrank::nn
