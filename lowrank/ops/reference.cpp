// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/reference.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace lowrank::reference {
namespace {

using at::Tensor;

double scale_of(const std::optional<double>& scale, const Tensor& q) {
  return scale.value_or(1 / std::sqrt(static_cast<double>(q.size(-1))));
}

// softmax(s q k^T); without keys, rows of length zero.
Tensor probabilities(const Tensor& q, const Tensor& k, double scale) {
  return at::softmax(at::matmul(q * scale, k.transpose(-2, -1)), -1);
}

// Sequence i of x [total, h, d] as [h, n, d].
Tensor sequence(const Tensor& x, const Tensor& offsets, int64_t i) {
  const int64_t begin = offsets[i].item<int64_t>(), end = offsets[i + 1].item<int64_t>();
  return x.slice(0, begin, end).transpose(0, 1);
}

// The results [h, n, d] of each sequence as [total, h, d].
Tensor each_sequence(const Tensor& offsets, const std::function<Tensor(int64_t)>& attend,
                     const Tensor& q) {
  std::vector<Tensor> outputs = {q.slice(0, 0, 0)};
  for (int64_t i = 0; i + 1 < offsets.numel(); ++i) outputs.push_back(attend(i).transpose(0, 1));
  return at::cat(outputs);
}

// The means of m segments of x [..., n, d]: [..., m, d].
Tensor landmarks(const Tensor& x, int64_t m) {
  const int64_t size = x.size(-2) / m, longer = x.size(-2) % m;
  std::vector<Tensor> means;
  for (int64_t i = 0, begin = 0; i < m; ++i) {
    const int64_t end = begin + size + (i < longer ? 1 : 0);
    means.push_back(x.slice(-2, begin, end).mean(-2));
    begin = end;
  }
  return at::stack(means, -2);
}

// v [h, n, d] convolved along n with w [h, taps].
Tensor convolve(const Tensor& v, const Tensor& w) {
  const int64_t taps = w.size(1), n = v.size(1);
  const Tensor padded = at::constant_pad_nd(v, {0, 0, taps / 2, taps / 2});
  Tensor out = at::zeros_like(v);
  for (int64_t t = 0; t < taps; ++t) {
    out = out + w.slice(1, t, t + 1).unsqueeze(2) * padded.slice(1, t, t + n);
  }
  return out;
}

}  // namespace

Tensor exact_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                       std::optional<double> scale, const Tensor& offsets_k) {
  const Tensor& keys = offsets_k.defined() ? offsets_k : offsets;
  const auto attend = [&](int64_t i) {
    const Tensor p =
        probabilities(sequence(q, offsets, i), sequence(k, keys, i), scale_of(scale, q));
    return at::matmul(p, sequence(v, keys, i));
  };
  return each_sequence(offsets, attend, q);
}

Tensor exact_logsumexp(const Tensor& q, const Tensor& k, const Tensor& offsets,
                       std::optional<double> scale, const Tensor& offsets_k) {
  const Tensor& keys = offsets_k.defined() ? offsets_k : offsets;
  const auto attend = [&](int64_t i) {
    const Tensor scores = at::matmul(sequence(q, offsets, i) * scale_of(scale, q),
                                     sequence(k, keys, i).transpose(-2, -1));
    return at::logsumexp(scores, -1);
  };
  return each_sequence(offsets, attend, q.select(2, 0));
}

Tensor pseudo_inverse(const Tensor& input, int64_t steps) {
  const Tensor a = input.scalar_type() == at::kDouble ? input : input.to(at::kFloat);
  const Tensor identity = at::eye(a.size(-1), a.options());
  const Tensor norms = a.abs().sum(-2).amax(-1) * a.abs().sum(-1).amax(-1);
  Tensor z = a.transpose(-2, -1) / norms.masked_fill(norms == 0, 1).unsqueeze(-1).unsqueeze(-1);
  for (int64_t i = 0; i < steps; ++i) {
    const Tensor az = at::matmul(a, z);
    const Tensor inner = at::matmul(az, 7 * identity - az);
    const Tensor outer = at::matmul(az, 15 * identity - inner);
    z = at::matmul(z, 13 * identity - outer) / 4;
  }
  return z.to(input.scalar_type());
}

Tensor nystrom_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& offsets,
                         const NystromOptions& options, const Tensor& filter,
                         const Tensor& offsets_k) {
  const Tensor& keys = offsets_k.defined() ? offsets_k : offsets;
  const double s = scale_of(options.scale, q);
  const int64_t m = options.landmarks, most_exact = std::max(m, options.exact_up_to);
  const auto attend = [&](int64_t i) {
    const Tensor qi = sequence(q, offsets, i), ki = sequence(k, keys, i), vi = sequence(v, keys, i);
    Tensor out;
    if (qi.size(1) <= most_exact || ki.size(1) <= most_exact) {
      out = at::matmul(probabilities(qi, ki, s), vi);
    } else {
      const Tensor qm = landmarks(qi, m), km = landmarks(ki, m);
      const Tensor f = probabilities(qi, km, s);
      const Tensor z = pseudo_inverse(probabilities(qm, km, s), options.inverse_steps);
      const Tensor b = probabilities(qm, ki, s);
      out = at::matmul(f, at::matmul(z, at::matmul(b, vi)));
    }
    return filter.defined() && filter.size(1) > 0 ? out + convolve(vi, filter) : out;
  };
  return each_sequence(offsets, attend, q);
}

Tensor linformer_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& e,
                           const Tensor& f, const Tensor& offsets, std::optional<double> scale,
                           const Tensor& offsets_k) {
  const Tensor& keys = offsets_k.defined() ? offsets_k : offsets;
  const Tensor& values = f.defined() ? f : e;
  const auto attend = [&](int64_t i) {
    const Tensor ki = sequence(k, keys, i), vi = sequence(v, keys, i);
    const Tensor projected_k = at::matmul(e.slice(-1, 0, ki.size(1)), ki);
    const Tensor projected_v = at::matmul(values.slice(-1, 0, vi.size(1)), vi);
    const Tensor p = probabilities(sequence(q, offsets, i), projected_k, scale_of(scale, q));
    return at::matmul(p, projected_v);
  };
  return each_sequence(offsets, attend, q);
}

Tensor project_sequences(const Tensor& x, const Tensor& e, const Tensor& offsets) {
  std::vector<Tensor> outputs = {x.slice(0, 0, 0)};
  for (int64_t i = 0; i + 1 < offsets.numel(); ++i) {
    const Tensor xi = x.slice(0, offsets[i].item<int64_t>(), offsets[i + 1].item<int64_t>());
    outputs.push_back(at::matmul(e.slice(-1, 0, xi.size(0)), xi));
  }
  return at::cat(outputs);
}

Tensor segment_means(const Tensor& x, const Tensor& offsets, int64_t m) {
  const Tensor flat = x.reshape({x.size(0), c10::multiply_integers(x.sizes().slice(1))});
  std::vector<Tensor> outputs = {x.new_empty({0, m, flat.size(1)})};
  for (int64_t i = 0; i + 1 < offsets.numel(); ++i) {
    const Tensor xi = flat.slice(0, offsets[i].item<int64_t>(), offsets[i + 1].item<int64_t>());
    const int64_t n = xi.size(0);
    const Tensor means = n < m ? at::constant_pad_nd(xi, {0, 0, 0, m - n}) : landmarks(xi, m);
    outputs.push_back(means.unsqueeze(0));
  }
  std::vector<int64_t> sizes = x.sizes().vec();
  sizes[0] = offsets.numel() - 1;
  sizes.insert(sizes.begin() + 1, m);
  return at::cat(outputs).reshape(sizes);
}

}  // namespace lowrank::reference
