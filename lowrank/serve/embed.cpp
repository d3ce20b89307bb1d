// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/embed.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

namespace lowrank::serve {

Embedder::Embedder(const TextModel& model, const EmbedOptions& options)
    : model_(model),
      options_(options),
      cutter_(model, options.pieces),
      runner_(model, options.token_budget) {}

at::Tensor Embedder::embed(const std::vector<std::string>& texts) {
  std::vector<Pieces> all;
  for (const std::string& text : texts) {
    all.push_back(cut({.text = text, .source = fmt::format("text {}", all.size() + 1)}));
  }
  return embed(all);
}

at::Tensor Embedder::embed(const std::vector<Pieces>& texts) {
  if (texts.empty()) return at::empty({0, width()});
  return finished(weighted_means(pooled(texts), texts));
}

at::Tensor Embedder::embed_pieces(const std::vector<Pieces>& texts) {
  if (texts.empty()) return at::empty({0, width()});
  return finished(pooled(texts));
}

at::Tensor Embedder::pooled(const std::vector<Pieces>& texts) {
  const models::Pooling pooling = options_.pooling.value_or(model_.model->config().pooling);
  return runner_.run(all_pieces(texts),
                     [pooling](models::Model& model, const models::Inputs& inputs) {
                       return model.pool(model.encode(inputs), pooling).to(at::kFloat);
                     });
}

at::Tensor Embedder::finished(const at::Tensor& vectors) const {
  if (!options_.normalize) return vectors;
  return vectors / vectors.norm(2, 1, /*keepdim=*/true).clamp_min(1e-12);
}

}  // namespace lowrank::serve
