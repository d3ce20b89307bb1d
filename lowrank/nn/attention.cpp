// SPDX-License-Identifier: Apache-2.0
#include "lowrank/nn/attention.h"

#include <ATen/ATen.h>
#include <torch/nn/init.h>

#include <cmath>
#include <limits>

#include "lowrank/nn/initialize.h"
#include "lowrank/nn/ragged.h"
#include "lowrank/ops/compat.h"

namespace lowrank::nn {
namespace {

template <class... Lambdas>
struct Overloaded : Lambdas... {
  using Lambdas::operator()...;
};
template <class... Lambdas>
Overloaded(Lambdas...) -> Overloaded<Lambdas...>;  // clang deduces it without from version 17 on

using Compressed = AttentionImpl::Compressed;

int64_t window(const LinformerOptions& kind) {
  return (kind.max_length + kind.projected - 1) / kind.projected;
}

// (E X) W + (E 1) b^T, from E X [b r, c] and E 1 [b r, 1]; without E 1, (E X) W + 1 b^T.
at::Tensor project_compressed(const torch::nn::Linear& linear, const at::Tensor& ex,
                              const at::Tensor& e1) {
  if (!e1.defined()) return at::linear(ex, linear->weight, linear->bias);
  const at::Tensor product = at::linear(ex, linear->weight);
  return linear->bias.defined() ? product + e1 * linear->bias : product;
}

// `f` undefined: E projects the values too. `bias_after`: the bias is added after E.
Compressed compress_linear(const at::Tensor& x, const at::Tensor& offsets, const at::Tensor& e,
                           const at::Tensor& f, const torch::nn::Linear& key,
                           const torch::nn::Linear& value, bool bias_after) {
  const at::Tensor ones = at::ones({x.size(0), 1}, x.options());
  const auto project = [&](const at::Tensor& rows, const at::Tensor& projection) {
    return project_sequences(rows, projection.to(rows.scalar_type()), offsets);
  };
  const at::Tensor ex = project(x, e), e1 = bias_after ? at::Tensor() : project(ones, e);
  const at::Tensor fx = f.defined() ? project(x, f) : ex;
  const at::Tensor f1 = f.defined() && !bias_after ? project(ones, f) : e1;
  const at::Tensor rows = at::arange(offsets.numel(), offsets.options()) * e.size(0);
  return {project_compressed(key, ex, e1), project_compressed(value, fx, f1), rows};
}

// With an E and F for each head, [h, r, n_max], the rows k and v [total, h, d] are what is projected.
Compressed compress_heads(const at::Tensor& k, const at::Tensor& v, const at::Tensor& e,
                          const at::Tensor& f, const at::Tensor& offsets) {
  const auto project = [&](const at::Tensor& rows, const at::Tensor& projection) {
    std::vector<at::Tensor> heads;
    for (int64_t h = 0; h < rows.size(1); ++h) {
      heads.push_back(project_sequences(rows.select(1, h).contiguous(),
                                        projection[h].to(rows.scalar_type()), offsets));
    }
    return at::cat(heads, 1);
  };
  const at::Tensor rows = at::arange(offsets.numel(), offsets.options()) * e.size(1);
  return {project(k, e), project(v, f), rows};
}

at::Tensor mean_windows(const at::Tensor& x, const at::Tensor& offsets, int64_t w) {
  const at::Tensor sizes = window_sizes(offsets, w).to(x.options()).unsqueeze(1);
  return cut_windows(x, offsets, w, 0).sum(1) / sizes;
}

at::Tensor max_windows(const at::Tensor& x, const at::Tensor& offsets, int64_t w) {
  return cut_windows(x, offsets, w, -std::numeric_limits<double>::infinity()).amax(1);
}

// Taps [c, w], or [d, w] for every head alike.
at::Tensor convolve_windows(const at::Tensor& x, const at::Tensor& offsets,
                            const at::Tensor& taps) {
  const at::Tensor of_channel = taps.repeat({x.size(1) / taps.size(0), 1}).to(x.scalar_type());
  const at::Tensor windows = cut_windows(x, offsets, taps.size(1), 0);  // [windows, w, c]
  return (windows * of_channel.t()).sum(1);
}

void check_length(const at::Tensor& offsets, const LinformerOptions& kind) {
  if (offsets.numel() < 2) return;
  const int64_t longest = offsets.diff().max().item<int64_t>();
  TORCH_CHECK_VALUE(longest <= kind.max_length, "lowrank::nn::Attention: a sequence has ", longest,
                    " rows; this Linformer takes max_length = ", kind.max_length,
                    ". Shorten the sequence or build the model with a larger max_length.");
}

}  // namespace

at::Tensor make_projection(const AttentionOptions& options) {
  const auto* kind = std::get_if<LinformerOptions>(&options.kind);
  if (!kind) return {};
  const bool per_head = kind->sharing == LinformerSharing::kNone;
  if (kind->projection == LinformerProjection::kLinear) {
    const int64_t r = kind->projected, length = kind->max_length;
    const at::Tensor e = per_head ? at::empty({options.heads, r, length}) : at::empty({r, length});
    return torch::nn::init::normal_(e, 0.0, 1 / std::sqrt(static_cast<double>(length)));
  }
  if (kind->projection == LinformerProjection::kConv) {
    const int64_t channels = per_head ? options.width : options.width / options.heads;
    return at::full({channels, window(*kind)}, 1 / static_cast<double>(window(*kind)));
  }
  return {};
}

AttentionImpl::AttentionImpl(const AttentionOptions& options) : options_(options) {
  const int64_t c = options.width;
  TORCH_CHECK_VALUE(options.heads >= 1 && c >= 1 && c % options.heads == 0,
                    "lowrank::nn::Attention: heads = ", options.heads,
                    " does not divide width = ", c, ". Choose heads so that it does.");
  const auto linear = torch::nn::LinearOptions(c, c).bias(options.bias);
  query = register_module("query", torch::nn::Linear(linear));
  key = register_module("key", torch::nn::Linear(linear));
  value = register_module("value", torch::nn::Linear(linear));
  output = register_module("output", torch::nn::Linear(linear));
  packed_projections_.emplace(std::vector{query, key, value});
  packed_output_.emplace(std::vector{output});

  const auto* nystrom = std::get_if<NystromOptions>(&options.kind);
  if (nystrom && nystrom->conv > 0) {
    filter = register_parameter("filter", at::empty({options.heads, nystrom->conv}));
  }
  const auto* linformer = std::get_if<LinformerOptions>(&options.kind);
  if (linformer && linformer->sharing != LinformerSharing::kLayerwise) {
    const bool both = linformer->sharing != LinformerSharing::kKeyValue;
    const at::Tensor projection = make_projection(options);
    if (projection.defined()) e = register_parameter("e", projection);
    if (projection.defined() && both) f = register_parameter("f", at::empty_like(projection));
  }
  reset_parameters();
}

void AttentionImpl::reset_parameters() {
  const at::NoGradGuard no_grad;
  for (torch::nn::Linear* linear : {&query, &key, &value, &output}) initialize(*linear);
  if (filter.defined()) {
    const double bound = 1 / std::sqrt(static_cast<double>(filter.size(1)));
    filter.uniform_(-bound, bound);
  }
  if (e.defined()) e.copy_(make_projection(options_));
  if (f.defined()) f.copy_(make_projection(options_));
}

void AttentionImpl::train(bool on) {
  Module::train(on);
  packed_projections_->forget();
  packed_output_->forget();
}

at::Tensor AttentionImpl::split_heads(const at::Tensor& x) const {
  return x.view({x.size(0), options_.heads, options_.width / options_.heads});
}

at::Tensor AttentionImpl::join_heads(const at::Tensor& x) {
  const at::Tensor rows = x.flatten(1);
  if (!is_training() && packed_output_->fits(rows)) return (*packed_output_)(rows);
  return at::dropout(output(rows), options_.dropout, is_training());
}

AttentionImpl::Projections AttentionImpl::project(const at::Tensor& x) {
  if (!is_training() && packed_projections_->fits(x)) {
    const std::vector<at::Tensor> parts =
        (*packed_projections_)(x)
            .view({x.size(0), 3, options_.heads, options_.width / options_.heads})
            .unbind(1);
    return {parts[0], parts[1], parts[2]};
  }
  return {split_heads(query(x)), split_heads(key(x)), split_heads(value(x))};
}

at::Tensor AttentionImpl::forward(const at::Tensor& x, const at::Tensor& offsets,
                                  const at::Tensor& shared_e, const at::Tensor& mask) {
  return join_heads(std::visit(
      Overloaded{[&](const ExactOptions& kind) {
                   const auto [q, k, v] = project(x);
                   return exact_attention(q, k, v, offsets, kind);
                 },
                 [&](const NystromOptions& kind) { return nystrom(x, offsets, kind, mask); },
                 [&](const LinformerOptions& kind) {
                   return linformer(x, offsets, x, offsets, kind, shared_e);
                 }},
      options_.kind));
}

at::Tensor AttentionImpl::nystrom(const at::Tensor& x, const at::Tensor& offsets,
                                  const NystromOptions& kind, const at::Tensor& mask) {
  const auto [q, k, v] = project(x);
  const at::Tensor w = filter.defined() ? filter.to(q.scalar_type()) : filter;
  if (options_.profile == Profile::kNone) return nystrom_attention(q, k, v, offsets, kind, w);
  TORCH_CHECK_VALUE(mask.defined() && mask.dim() == 2 && mask.numel() == x.size(0),
                    "lowrank::nn::Attention: profile \"", profile_name(options_.profile),
                    "\" takes sequences of one length and their mask [b, n]. Pass the mask.");
  const int64_t b = mask.size(0), n = mask.size(1);
  const auto padded = [&](const at::Tensor& rows) {  // [b, h, n, d]
    return rows.view({b, n, rows.size(1), rows.size(2)}).transpose(1, 2);
  };
  const compat::Options compat{.profile = options_.profile,
                               .landmarks = kind.landmarks,
                               .segment_length = options_.segment_length,
                               .inverse_steps = kind.inverse_steps,
                               .per_matrix_start = options_.per_matrix_start};
  return compat::attention(padded(q), padded(k), padded(v), mask, compat, w)
      .transpose(1, 2)
      .reshape(q.sizes());
}

at::Tensor AttentionImpl::forward_cross(const at::Tensor& x, const at::Tensor& offsets,
                                        const at::Tensor& context,
                                        const at::Tensor& context_offsets,
                                        const at::Tensor& shared_e) {
  const auto keys = [&] { return split_heads(key(context)); };
  const auto values = [&] { return split_heads(value(context)); };
  return join_heads(std::visit(
      Overloaded{[&](const ExactOptions& kind) {
                   return exact_cross_attention(split_heads(query(x)), keys(), values(), offsets,
                                                context_offsets, kind);
                 },
                 [&](const NystromOptions& kind) {
                   return nystrom_cross_attention(split_heads(query(x)), keys(), values(), offsets,
                                                  context_offsets, kind);
                 },
                 [&](const LinformerOptions& kind) {
                   return linformer(x, offsets, context, context_offsets, kind, shared_e);
                 }},
      options_.kind));
}

AttentionImpl::Compressed AttentionImpl::compress(const at::Tensor& x, const at::Tensor& offsets,
                                                  const at::Tensor& shared_e) {
  const auto* kind = std::get_if<LinformerOptions>(&options_.kind);
  TORCH_CHECK_VALUE(kind,
                    "lowrank::nn::Attention: only Linformer attention compresses. Use project.");
  check_offsets(offsets, x.size(0), "lowrank::nn::Attention");
  check_length(offsets, *kind);
  const bool layerwise = kind->sharing == LinformerSharing::kLayerwise;
  const bool learned = kind->projection == LinformerProjection::kLinear ||
                       kind->projection == LinformerProjection::kConv;
  TORCH_CHECK_VALUE(
      !(layerwise && learned) || shared_e.defined(),
      "lowrank::nn::Attention: layerwise sharing needs the encoder's E; got none. Pass "
      "the tensor of make_projection as shared_e.");
  const at::Tensor& of_keys = layerwise ? shared_e : e;
  const at::Tensor& of_values = f.defined() ? f : of_keys;
  const int64_t w = window(*kind);
  switch (kind->projection) {
    case LinformerProjection::kLinear:
      if (kind->sharing == LinformerSharing::kNone) {
        return compress_heads(split_heads(key(x)), split_heads(value(x)), e, f, offsets);
      }
      return compress_linear(x, offsets, of_keys, f, key, value,
                             options_.profile == Profile::kFairseq);
    case LinformerProjection::kMeanPool: {
      const at::Tensor means = mean_windows(x, offsets, w);
      return {key(means), value(means), window_offsets(offsets, w)};
    }
    case LinformerProjection::kMaxPool:
      return {max_windows(key(x), offsets, w), max_windows(value(x), offsets, w),
              window_offsets(offsets, w)};
    case LinformerProjection::kConv:
      break;
  }
  return {convolve_windows(key(x), offsets, of_keys),
          convolve_windows(value(x), offsets, of_values), window_offsets(offsets, w)};
}

at::Tensor AttentionImpl::linformer(const at::Tensor& x, const at::Tensor& offsets,
                                    const at::Tensor& context, const at::Tensor& context_offsets,
                                    const LinformerOptions& kind, const at::Tensor& shared_e) {
  const at::Tensor q = split_heads(query(x));
  if (kind.projection == LinformerProjection::kLinear && kind.sharing == LinformerSharing::kNone) {
    check_offsets(context_offsets, context.size(0), "lowrank::nn::Attention");
    check_length(context_offsets, kind);
    return linformer_cross_attention(q, split_heads(key(context)), split_heads(value(context)),
                                     e.to(q.scalar_type()), f.to(q.scalar_type()), offsets,
                                     context_offsets, kind.scale);
  }
  const Compressed compressed = compress(context, context_offsets, shared_e);
  return exact_cross_attention(q, split_heads(compressed.keys.to(q.scalar_type())),
                               split_heads(compressed.values.to(q.scalar_type())), offsets,
                               compressed.offsets, ExactOptions{.scale = kind.scale});
}

}  // namespace lowrank::nn
