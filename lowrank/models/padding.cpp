// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/padding.h"

#include <ATen/ATen.h>

#include "lowrank/nn/ragged.h"

namespace lowrank::models {
namespace {

// The length that every sequence gets. Nystrom attention cuts segment_length tokens into landmarks;
// where there are as many as tokens it is exact, and takes any length.
int64_t common_length(int64_t longest, const ModelConfig& config) {
  const auto* kind = std::get_if<NystromOptions>(&config.attention.front());
  const int64_t length = config.compat.segment_length;
  if (!kind || length == kind->landmarks) return longest;
  TORCH_CHECK_VALUE(longest <= length, "lowrank::models::Model: a sequence has ", longest,
                    " tokens; with the profile \"", profile_name(config.compat.profile),
                    "\" this model takes ", length,
                    ". Truncate the sequence, or convert the model with --fixed.");
  return length;
}

}  // namespace

Padded pad(const Inputs& inputs, const ModelConfig& config) {
  nn::check_offsets(inputs.offsets, inputs.tokens.size(0), "lowrank::models::Model");
  const at::Tensor lengths = inputs.offsets.diff();
  const int64_t b = lengths.size(0);
  const int64_t n = common_length(b > 0 ? lengths.max().item<int64_t>() : 0, config);
  const at::Tensor starts = at::arange(b, at::kLong) * n;
  const at::Tensor rows =
      (starts.repeat_interleave(lengths) + nn::places(inputs.offsets)).to(inputs.tokens.device());
  const auto spread = [&](const at::Tensor& values, int64_t fill) {
    return at::full({b * n}, fill, values.options()).index_copy(0, rows, values);
  };
  Padded padded;
  padded.inputs.tokens = spread(inputs.tokens, config.compat.padding_token);
  padded.inputs.offsets = at::arange(b + 1, at::kLong) * n;
  if (inputs.segments.defined()) padded.inputs.segments = spread(inputs.segments, 0);
  padded.inputs.mask = spread(at::ones_like(inputs.tokens), 0).to(at::kBool);
  padded.rows = rows;
  return padded;
}

}  // namespace lowrank::models
