// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "lowrank/models/model.h"

namespace lowrank::models {

// A model with other attention and the same weights. `kinds`: one for all layers, or one a layer. What a
// kind learns and the model has not starts so that it does nothing: a convolution of Nystrom attention
// from zeros, a Linformer's convolution as means of windows, its linear E and F as nn/attention.h draws
// them. A layer whose kind stays keeps all. A profile that the kinds do not fit is left away.
std::shared_ptr<Model> with_attention(const Model& model, const std::vector<AttentionKind>& kinds);

// The same model as this library computes it: without its profile (CompatOptions). kFairseq, whose weights need
// its order of E and bias, keeps it, without the padding.
std::shared_ptr<Model> without_profile(const Model& model);

// How a table of positions grows from n rows to more.
//
//   kTile         row i is row i mod n: places repeat, and what a model knows of near ones stays true
//   kInterpolate  row i is the old table at i (n - 1) / (more - 1): order stays, distances shrink
enum class PositionRule { kTile, kInterpolate };

// A model that takes sequences of up to max_positions rows, with the same weights otherwise; learned
// positions grow by `rule`, sinusoids go on. Throws Error unless max_positions is at least the model's,
// and for Linformer attention of a max_length that is less.
std::shared_ptr<Model> with_positions(const Model& model, int64_t max_positions, PositionRule rule);

// Copies into `model` what `from` has learnt: the encoder, and the head where both have the same task
// and the same classes. Attention may differ, as with_attention() changes it; so may the number of
// layers, and of learned positions, of which the first are taken, tiled where there are fewer. A profile
// is left behind. What else is new in `model` keeps its values.
//
// Throws Error, changing nothing, for all parts of the encoder at once that have other sizes.
struct Inherited {
  std::vector<std::string> fresh;   // parameters of `model` that `from` has not
  std::vector<std::string> unused;  // parameters of `from` that `model` has not
};
Inherited inherit(Model& model, const Model& from);

// The most tokens that a sequence may have for the model: positions, Linformer's max_length, a profile's
// length; INT64_MAX without any of these.
int64_t longest_sequence(const ModelConfig& config);

}  // namespace lowrank::models
