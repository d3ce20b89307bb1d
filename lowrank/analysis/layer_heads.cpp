// SPDX-License-Identifier: Apache-2.0
#include "lowrank/analysis/layer_heads.h"

#include <ATen/ATen.h>

#include <cmath>

namespace lowrank::analysis {
namespace {

std::optional<double> scale_of(const AttentionKind& kind) {
  return std::visit([](const auto& options) { return options.scale; }, kind);
}

at::Tensor widened(const at::Tensor& x) {
  return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat);
}

}  // namespace

at::Tensor LayerHeads::matrix(int64_t head) const {
  return at::softmax(at::mm(q[head] * scale, k[head].t()), -1);
}

at::Tensor LayerHeads::exact() const {
  const at::Tensor out = at::empty_like(v);
  for (int64_t head = 0; head < v.size(0); ++head) {
    out[head].copy_(at::mm(matrix(head), v[head]));
  }
  return out;
}

LayerHeads heads_of(const models::LayerStep& step) {
  nn::EncoderLayer layer = step.layer;
  const auto [q, k, v] = layer->attention->project(layer->attention_input(step.x));
  const auto own_rows = [&](const at::Tensor& x) {  // [h, n, d]
    const at::Tensor rows =
        step.mask.defined() ? x.index_select(0, step.mask.flatten().nonzero().squeeze(1)) : x;
    return widened(rows).transpose(0, 1).contiguous();
  };
  const double d = static_cast<double>(q.size(2));
  return {step.index, own_rows(q), own_rows(k), own_rows(v),
          scale_of(layer->attention->options().kind).value_or(1 / std::sqrt(d))};
}

void visit_heads(models::Model& model, const models::Inputs& sequence,
                 const std::function<void(const LayerHeads&)>& visit) {
  const at::NoGradGuard no_grad;
  model.eval();
  model.walk(sequence, [&](const models::LayerStep& step) {
    visit(heads_of(step));
    return step.index + 1 < model.config().layers ? step() : at::Tensor();
  });
}

}  // namespace lowrank::analysis
