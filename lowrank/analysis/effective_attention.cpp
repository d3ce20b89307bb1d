// SPDX-License-Identifier: Apache-2.0
#include "lowrank/analysis/effective_attention.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>

#include "lowrank/nn/ragged.h"
#include "lowrank/ops/nystrom.h"
#include "lowrank/ops/pseudo_inverse.h"
#include "lowrank/ops/segment_means.h"

namespace lowrank::analysis {
namespace {

using at::Tensor;

constexpr int64_t kTileNumbers = int64_t{1} << 22;  // of a tile of probabilities: 16 MiB in float32

Tensor widened(const Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

// x [n, h, d] as [h, n, d].
Tensor by_head(const Tensor& x) { return x.transpose(0, 1); }

// The means of m segments of x [n, h, d], [h, m, d], in float32 at least. A copy of one head at a time.
Tensor landmarks(const Tensor& x, int64_t m) {
  const Tensor offsets = at::tensor({int64_t{0}, x.size(0)});
  std::vector<Tensor> heads;
  for (int64_t head = 0; head < x.size(1); ++head) {
    heads.push_back(segment_means(widened(x.select(1, head)), offsets, m).squeeze(0));
  }
  return at::stack(heads);
}

// The unit vectors of `places`, [places, n].
Tensor units(const std::vector<int64_t>& places, int64_t n, const at::TensorOptions& options) {
  const Tensor result = at::zeros({std::ssize(places), n}, options);
  for (size_t i = 0; i < places.size(); ++i) result[static_cast<int64_t>(i)][places[i]] = 1;
  return result;
}

void require_below(int64_t value, int64_t count, const char* what, const char* of) {
  if (value >= 0 && value < count) return;
  throw Error(fmt::format("{} = {}; {} has {}, from 0 to {}. Choose one of them.", what, value, of,
                          count, count - 1));
}

// Without a row there is nothing to see, and no softmax either.
void require_rows(int64_t n) {
  if (n == 0) throw Error("The sequence has no tokens. Give a text.");
}

bool pads(const models::LayerStep& step) {
  return step.mask.defined() && !step.mask.all().item<bool>();
}

// Under a profile landmarks of one token each are exact attention, whatever the length (ops/compat.h).
bool is_exact(const nn::AttentionOptions& options, const NystromOptions& kind, int64_t n) {
  if (options.profile != Profile::kNone) return options.segment_length == kind.landmarks;
  return n <= std::max(kind.landmarks, kind.exact_up_to);
}

void append(const std::vector<std::string>& more, std::vector<std::string>* notes) {
  if (notes) notes->insert(notes->end(), more.begin(), more.end());
}

// The heads that are asked for, added up with equal weights.
Tensor mean_of_heads(int64_t heads, std::optional<int64_t> head,
                     const std::function<Tensor(int64_t)>& of_head) {
  if (head) return of_head(*head).to(at::kDouble);
  Tensor sum;
  for (int64_t i = 0; i < heads; ++i) {
    const Tensor one = of_head(i).to(at::kDouble);
    sum = sum.defined() ? sum.add_(one) : one;
  }
  return sum / heads;
}

}  // namespace

at::TensorOptions SoftmaxMatrix::options() const {
  return a.options().dtype(a.scalar_type() == at::kDouble ? at::kDouble : at::kFloat);
}

Tensor SoftmaxMatrix::right(int64_t head, const Tensor& x) const {
  const int64_t rows = a.size(1),
                tile = std::max<int64_t>(1, kTileNumbers / std::max<int64_t>(1, b.size(1)));
  const Tensor keys = widened(b[head]).t(), out = at::empty({rows, x.size(1)}, options());
  for (int64_t begin = 0; begin < rows; begin += tile) {
    const Tensor scores = at::mm(widened(a[head].slice(0, begin, begin + tile)) * scale, keys);
    out.slice(0, begin, begin + tile).copy_(at::mm(at::softmax(scores, -1), x));
  }
  return out;
}

Tensor SoftmaxMatrix::left(int64_t head, const Tensor& x) const {
  const int64_t rows = a.size(1),
                tile = std::max<int64_t>(1, kTileNumbers / std::max<int64_t>(1, b.size(1)));
  const Tensor keys = widened(b[head]).t(), out = at::zeros({x.size(0), b.size(1)}, options());
  for (int64_t begin = 0; begin < rows; begin += tile) {
    const Tensor scores = at::mm(widened(a[head].slice(0, begin, begin + tile)) * scale, keys);
    out.addmm_(x.slice(1, begin, begin + tile), at::softmax(scores, -1));
  }
  return out;
}

EffectiveAttention::EffectiveAttention(const models::LayerStep& step) {
  nn::EncoderLayer layer = step.layer;
  nn::Attention& attention = layer->attention;
  const nn::AttentionOptions& options = attention->options();
  if (pads(step)) {
    throw Error(fmt::format(
        "The model has the profile \"{}\" and pads this text; its attention is about tokens that "
        "the text has not. Convert the model with --fixed.",
        profile_name(options.profile)));
  }
  heads_ = options.heads;
  length_ = step.x.size(0);
  require_rows(length_);
  const Tensor x = layer->attention_input(step.x);
  const auto scale_of = [&](std::optional<double> scale) {
    return scale.value_or(1 / std::sqrt(static_cast<double>(options.width / options.heads)));
  };
  if (const auto* kind = std::get_if<LinformerOptions>(&options.kind)) {
    const Tensor q = attention->query(x).view({length_, heads_, -1});
    take_linformer(step, x, by_head(q), *kind, scale_of(kind->scale));
    return;
  }
  const auto [q, k, v] = attention->project(x);
  const auto* kind = std::get_if<NystromOptions>(&options.kind);
  if (kind && kind->conv > 0) {
    notes_.push_back(fmt::format("the convolution of layer {} ({} taps over neighbors) is left out",
                                 step.index, kind->conv));
  }
  if (kind && !is_exact(options, *kind, length_)) {
    if (options.profile != Profile::kNone) {
      throw Error(fmt::format(
          "The model has the profile \"{}\", whose landmarks are of another implementation. "
          "Convert the model with --fixed.",
          profile_name(options.profile)));
    }
    take_nystrom(q, k, *kind, scale_of(kind->scale));
    return;
  }
  const auto* exact = std::get_if<ExactOptions>(&options.kind);
  first_ = {by_head(q), by_head(k), scale_of(kind ? kind->scale : exact->scale)};
}

void EffectiveAttention::take_nystrom(const Tensor& q, const Tensor& k, const NystromOptions& kind,
                                      double scale) {
  const Tensor qm = landmarks(q, kind.landmarks), km = landmarks(k, kind.landmarks);
  const Tensor a = at::softmax(at::bmm(qm * scale, km.transpose(1, 2)), -1);
  inverse_ = pseudo_inverse(a, kind.inverse_steps);
  first_ = {by_head(q), km, scale};
  second_ = SoftmaxMatrix{qm, by_head(k), scale};
}

void EffectiveAttention::take_linformer(const models::LayerStep& step, const Tensor& x,
                                        const Tensor& q, const LinformerOptions& kind,
                                        double scale) {
  nn::EncoderLayer layer = step.layer;
  nn::Attention& attention = layer->attention;
  const Tensor offsets = at::tensor({int64_t{0}, length_});
  const nn::AttentionImpl::Compressed compressed = attention->compress(x, offsets, step.shared_e);
  first_ = {q, by_head(compressed.keys.view({compressed.keys.size(0), heads_, -1})), scale};
  const Tensor& own = attention->f.defined() ? attention->f : attention->e;
  const Tensor& f = own.defined() ? own : step.shared_e;
  if (kind.projection == LinformerProjection::kLinear) {
    projection_ = widened(f).slice(-1, 0, length_);
    return;
  }
  take_windows(attention, x, kind, f);
  if (kind.projection == LinformerProjection::kConv) {
    notes_.push_back(fmt::format(
        "layer {} weighs each channel by taps of its own; the mean of a head's stands here",
        step.index));
  }
  if (kind.projection == LinformerProjection::kMaxPool) {
    notes_.push_back(
        fmt::format("layer {} takes the largest value of each channel; the share of a head's "
                    "channels stands here",
                    step.index));
  }
}

void EffectiveAttention::take_windows(const nn::Attention& attention, const Tensor& x,
                                      const LinformerOptions& kind, const Tensor& taps) {
  const int64_t n = length_, w = (kind.max_length + kind.projected - 1) / kind.projected;
  const at::TensorOptions options = first_.options();
  const Tensor offsets = at::tensor({int64_t{0}, n});
  const Tensor place = at::arange(n, options.dtype(at::kLong));
  window_ = at::div(place, w, "floor");
  weight_ = at::zeros({heads_, n}, options);
  if (kind.projection == LinformerProjection::kMeanPool) {
    const Tensor sizes = nn::window_sizes(offsets, w).to(options);
    weight_.copy_(sizes.reciprocal().index_select(0, window_));
    return;
  }
  if (kind.projection == LinformerProjection::kConv) {  // taps [c, w], or [d, w] for every head
    const Tensor of_head =
        widened(taps)
            .view({-1,
                   kind.sharing == LinformerSharing::kNone ? taps.size(0) / heads_ : taps.size(0),
                   w})
            .mean(1);
    weight_.copy_(of_head.index_select(1, place.remainder(w)));
    return;
  }
  nn::Attention module = attention;
  const Tensor values = widened(module->value(x));
  const Tensor windows =
      nn::cut_windows(values, offsets, w, -std::numeric_limits<double>::infinity());
  const Tensor largest =
      windows.argmax(1) +
      at::arange(windows.size(0), place.options()).unsqueeze(1) * w;  // [windows, c]
  const int64_t d = values.size(1) / heads_;
  for (int64_t head = 0; head < heads_; ++head) {
    const Tensor taken = largest.slice(1, head * d, (head + 1) * d).flatten();
    weight_[head].copy_(at::bincount(taken, {}, n).to(options) / d);
  }
}

Tensor EffectiveAttention::compress_left(int64_t head, const Tensor& x) const {
  if (window_.defined()) return x.index_select(1, window_) * weight_[head];
  return at::mm(x, projection_.dim() == 3 ? projection_[head] : projection_);
}

Tensor EffectiveAttention::compress_right(int64_t head, const Tensor& x) const {
  if (!window_.defined())
    return at::mm(projection_.dim() == 3 ? projection_[head] : projection_, x);
  return at::zeros({first_.b.size(1), x.size(1)}, x.options())
      .index_add(0, window_, x * weight_[head].unsqueeze(1));
}

Tensor EffectiveAttention::left(int64_t head, const Tensor& x) const {
  const Tensor out = first_.left(head, x.to(first_.options()));
  if (second_) return second_->left(head, at::mm(out, inverse_[head]));
  return window_.defined() || projection_.defined() ? compress_left(head, out) : out;
}

Tensor EffectiveAttention::right(int64_t head, const Tensor& x) const {
  Tensor columns = x.to(first_.options());
  if (second_) columns = at::mm(inverse_[head], second_->right(head, columns));
  if (window_.defined() || projection_.defined()) columns = compress_right(head, columns);
  return first_.right(head, columns);
}

Tensor EffectiveAttention::rows(int64_t head, const std::vector<int64_t>& places) const {
  for (const int64_t place : places) require_below(place, length_, "row", "the sequence");
  // Their rows of the first factor alone; the other rows have no part in them.
  EffectiveAttention some = *this;
  const Tensor index = at::tensor(places, at::kLong).to(first_.a.device());
  some.first_.a = first_.a.index_select(1, index);
  return some.left(head, at::eye(std::ssize(places), first_.options()));
}

Tensor EffectiveAttention::columns(int64_t head, const std::vector<int64_t>& places) const {
  for (const int64_t place : places) require_below(place, length_, "column", "the sequence");
  return right(head, units(places, length_, first_.options()).t()).t();
}

Tensor rollout(models::Model& model, const models::Inputs& sequence, const RolloutOptions& options,
               std::vector<std::string>* notes) {
  const at::NoGradGuard no_grad;
  model.eval();
  if (options.head) require_below(*options.head, model.config().heads, "head", "a layer");
  Tensor x;
  for (int64_t layer = model.config().layers - 1; layer >= 0; --layer) {
    model.walk(sequence, [&](const models::LayerStep& step) {
      if (step.index < layer) return step();
      const EffectiveAttention attention(step);
      const int64_t n = attention.length();
      if (options.from) require_below(*options.from, n, "row", "the sequence");
      if (!x.defined()) {
        x = options.from ? units({*options.from}, n, at::kDouble)
                         : at::full({1, n}, 1.0 / static_cast<double>(n), at::kDouble);
      }
      const Tensor read = mean_of_heads(attention.heads(), options.head, [&](int64_t head) {
        return attention.left(head, x).cpu();
      });
      x = (x + read) / 2;
      append(attention.notes(), notes);
      return Tensor();
    });
  }
  return x.squeeze(0);
}

Tensor look(models::Model& model, const models::Inputs& sequence, int64_t layer,
            std::optional<int64_t> head, Side side, const std::vector<int64_t>& places,
            std::vector<std::string>* notes) {
  const at::NoGradGuard no_grad;
  model.eval();
  require_below(layer, model.config().layers, "layer", "the model");
  if (head) require_below(*head, model.config().heads, "head", "a layer");
  Tensor result;
  model.walk(sequence, [&](const models::LayerStep& step) {
    if (step.index < layer) return step();
    const EffectiveAttention attention(step);
    result = mean_of_heads(attention.heads(), head, [&](int64_t one) {
      return (side == Side::kRows ? attention.rows(one, places) : attention.columns(one, places))
          .cpu();
    });
    append(attention.notes(), notes);
    return Tensor();
  });
  return result;
}

}  // namespace lowrank::analysis
