// SPDX-License-Identifier: Apache-2.0
#include "lowrank/analysis/spectrum.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "lowrank/analysis/layer_heads.h"

namespace lowrank::analysis {

at::Tensor cumulative_share(const at::Tensor& matrix) {
  const at::Tensor sums = at::linalg_svdvals(matrix).to(at::kDouble).cumsum(-1);
  const at::Tensor total = sums.slice(-1, -1);
  return sums / total.masked_fill(total == 0, 1);
}

at::Tensor rank_of_share(const at::Tensor& cumulative, double share) {
  return cumulative.lt(share).sum(-1).add(1).clamp_max(cumulative.size(-1));
}

Spectrum spectrum(models::Model& model, const std::vector<models::Inputs>& sequences, double share,
                  const std::function<void(double)>& progress) {
  if (sequences.empty()) throw Error("There is no sequence to analyze. Give one.");
  const int64_t l = model.config().layers, h = model.config().heads;
  const double steps = static_cast<double>(l * std::ssize(sequences));
  Spectrum sum{
      .sequences = std::ssize(sequences), .cumulative = {}, .rank = at::zeros({l, h}, at::kDouble)};
  double done = 0;
  for (const models::Inputs& sequence : sequences) {
    visit_heads(model, sequence, [&](const LayerHeads& heads) {
      const int64_t n = heads.q.size(1);
      if (!sum.cumulative.defined()) {
        sum.length = n;
        sum.cumulative = at::zeros({l, h, n}, at::kDouble);
      }
      if (n != sum.length) {
        throw Error(fmt::format(
            "Sequences of {} and of {} rows; a spectrum is of one length. Cut them alike.",
            sum.length, n));
      }
      at::parallel_for(0, h, 1, [&](int64_t begin, int64_t end) {
        const at::NoGradGuard no_grad;
        for (int64_t head = begin; head < end; ++head) {
          const at::Tensor held = cumulative_share(heads.matrix(head));
          sum.cumulative[heads.layer][head] += held.cpu();
          sum.rank[heads.layer][head] += rank_of_share(held, share).cpu();
        }
      });
      if (progress) progress(++done / steps);
    });
  }
  sum.cumulative /= sum.sequences;
  sum.rank /= sum.sequences;
  return sum;
}

}  // namespace lowrank::analysis
