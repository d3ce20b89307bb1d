// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/compat.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>
#include <vector>

#include "lowrank/ops/checks.h"

// b batch, h heads, n length, d head size, m landmarks, r projected length.
namespace lowrank::compat {
namespace {

using at::Tensor;

constexpr double kMlpenMasked = -1e9;  // added to scores
constexpr float kLucidrainsEpsilon =
    1e-8F;  // added to a segment's tokens: in float32, whatever the dtype

Tensor widened(const Tensor& x) { return x.scalar_type() == at::kDouble ? x : x.to(at::kFloat); }

double lowest(const Tensor& x) {
  return x.scalar_type() == at::kDouble ? std::numeric_limits<double>::lowest()
                                        : std::numeric_limits<float>::lowest();
}

// The mask as [b, n] bool.
Tensor as_bool(const Tensor& mask, const Tensor& q) {
  if (!mask.defined()) return at::ones({q.size(0), q.size(2)}, q.options().dtype(at::kBool));
  if (mask.scalar_type() == at::kBool) return mask.to(q.device());
  const Tensor places = at::arange(q.size(2), q.options().dtype(at::kLong));
  return places.unsqueeze(0) < mask.to(q.device()).unsqueeze(1);
}

// q k^T and its softmax.
Tensor scores(const Tensor& q, const Tensor& k) { return at::matmul(q, k.transpose(-2, -1)); }
Tensor probabilities(const Tensor& scores) { return at::softmax(scores, -1); }

// x [b, h, n, d] as [b, h, m, n / m, d].
Tensor segments(const Tensor& x, int64_t m) { return x.unflatten(2, {m, x.size(2) / m}); }

// out + the convolution of v [b, h, n, d] along n with filter [h, taps], if there is one.
Tensor with_convolution(const Tensor& out, const Tensor& v, const Tensor& filter) {
  if (!filter.defined()) return out;
  const Tensor kernel = widened(filter).unsqueeze(1).unsqueeze(3);  // [h, 1, taps, 1]
  const std::vector<int64_t> margin = {filter.size(1) / 2, 0};
  return out + at::conv2d(v, kernel, {}, 1, margin, 1, v.size(1));
}

void check(const char* op, const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
           const Options& options, const Tensor& filter) {
  check_padded(op, q, k, v, mask);
  check_filter(op, filter, q);
  check_range(op, "landmarks", options.landmarks, 1, 65536);
  check_range(op, "inverse_steps", options.inverse_steps, 1, 32);
}

void check_segments(const char* op, const Tensor& q, const Options& options) {
  const int64_t m = options.landmarks, length = options.segment_length, n = q.size(2);
  if (m == length) return;
  TORCH_CHECK_VALUE(length >= m && length % m == 0, op, ": segment_length = ", length,
                    "; it must be a multiple of landmarks = ", m, ". Choose a multiple.");
  TORCH_CHECK_VALUE(n == length, op, ": sequences have ", n, " places; with ", m,
                    " landmarks this profile takes exactly segment_length = ", length,
                    ". Pad them to that length, or drop the profile.");
}

// What hf and mlpen share. q and k are scaled and masked; bias [b, 1, 1, n] is for scores of all keys.
Tensor from_landmarks(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& bias,
                      const Options& options) {
  const int64_t m = options.landmarks;
  if (m == options.segment_length) return at::matmul(probabilities(scores(q, k) + bias), v);
  const Tensor qm = segments(q, m).mean(3), km = segments(k, m).mean(3);
  const Tensor f = probabilities(scores(q, km));
  const Tensor a = probabilities(scores(qm, km));
  const Tensor b = probabilities(scores(qm, k) + bias);
  const auto start = options.per_matrix_start ? InverseStart::kMatrix : InverseStart::kBatch;
  const Tensor z = pseudo_inverse(a, options.inverse_steps, start);
  return at::matmul(f, at::matmul(z, at::matmul(b, v)));
}

Tensor start_of_inverse(const Tensor& a, InverseStart start) {
  const Tensor transposed = a.transpose(-2, -1);
  switch (start) {
    case InverseStart::kMatrix:
      return transposed / std::get<0>(a.sum(-2).max(-1)).unsqueeze(-1).unsqueeze(-1);
    case InverseStart::kBatch:
      return transposed / a.sum(-2).max();
    case InverseStart::kProduct:
      break;
  }
  return transposed / (a.abs().sum(-2).max() * a.abs().sum(-1).max());
}

}  // namespace

Tensor pseudo_inverse(const Tensor& input, int64_t steps, InverseStart start) {
  constexpr const char* kOp = "lowrank::compat::pseudo_inverse";
  check_dtype(kOp, "a", input);
  check_range(kOp, "steps", steps, 1, 32);
  TORCH_CHECK_VALUE(input.dim() >= 2 && input.size(-1) == input.size(-2), kOp,
                    ": a must be [..., m, m]; got sizes ", input.sizes(),
                    ". Pass square matrices.");
  if (input.numel() == 0) return input.clone();
  const Tensor a = widened(input);
  const Tensor identity = at::eye(a.size(-1), a.options());
  Tensor z = start_of_inverse(a, start);
  for (int64_t i = 0; i < steps; ++i) {
    const Tensor az = at::matmul(a, z);
    const Tensor inner = at::matmul(az, 7 * identity - az);
    const Tensor outer = at::matmul(az, 15 * identity - inner);
    z = at::matmul(0.25 * z, 13 * identity - outer);
  }
  return z.to(input.scalar_type());
}

Tensor hugging_face_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                              const Options& options, const Tensor& filter) {
  constexpr const char* kOp = "lowrank::compat::hugging_face_attention";
  check(kOp, q, k, v, mask, options, filter);
  check_segments(kOp, q, options);
  if (q.numel() == 0) return at::empty_like(q);
  const double root = std::pow(static_cast<double>(q.size(3)), 0.25);
  const Tensor values = widened(v);
  const Tensor masked = as_bool(mask, q).logical_not().unsqueeze(1).unsqueeze(1);
  const Tensor bias =
      at::zeros(masked.sizes(), values.options()).masked_fill(masked, lowest(values));
  const Tensor out = from_landmarks(widened(q) / root, widened(k) / root, values, bias, options);
  return with_convolution(out, values, filter).to(q.scalar_type());
}

Tensor mlpen_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                       const Options& options, const Tensor& filter) {
  constexpr const char* kOp = "lowrank::compat::mlpen_attention";
  check(kOp, q, k, v, mask, options, filter);
  check_segments(kOp, q, options);
  if (q.numel() == 0) return at::empty_like(q);
  const double root = std::pow(static_cast<double>(q.size(3)), 0.25);
  const Tensor values = widened(v);
  const Tensor token = as_bool(mask, q).to(values.scalar_type());  // [b, n]
  const Tensor rows = token.unsqueeze(1).unsqueeze(3);
  const Tensor bias = kMlpenMasked * (1 - token.unsqueeze(1).unsqueeze(1));
  const Tensor out =
      from_landmarks(widened(q) * rows / root, widened(k) * rows / root, values, bias, options);
  return with_convolution(out, values * rows, filter).to(q.scalar_type());
}

Tensor mlpen_linformer_attention(const Tensor& q, const Tensor& k, const Tensor& v,
                                 const Tensor& mask, const Tensor& e) {
  constexpr const char* kOp = "lowrank::compat::mlpen_linformer_attention";
  check_padded(kOp, q, k, v, mask);
  TORCH_CHECK_VALUE(e.dim() == 3 && e.size(0) == q.size(1) && e.size(2) == q.size(2), kOp,
                    ": e must be [", q.size(1), ", projected, ", q.size(2), "] for q ", q.sizes(),
                    "; got sizes ", e.sizes(), ". This profile takes no other length than e's.");
  if (q.numel() == 0) return at::empty_like(q);
  const double root = std::sqrt(static_cast<double>(q.size(3)));
  const Tensor rows = as_bool(mask, q).unsqueeze(1).unsqueeze(3);
  const Tensor projection = widened(e);
  const Tensor keys = at::matmul(projection, widened(k) * rows);
  const Tensor values = at::matmul(projection, widened(v) * rows);
  return at::matmul(probabilities(scores(widened(q), keys) / root), values).to(q.scalar_type());
}

Tensor lucidrains_attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                            const Options& options, const Tensor& filter) {
  constexpr const char* kOp = "lowrank::compat::lucidrains_attention";
  check(kOp, q, k, v, mask, options, filter);
  if (q.numel() == 0) return at::empty_like(q);
  const int64_t m = options.landmarks, n = q.size(2), front = (m - n % m) % m;
  const auto in_front = [&](const Tensor& x) {
    return at::constant_pad_nd(widened(x), {0, 0, front, 0});
  };
  Tensor queries = in_front(q), keys = in_front(k), values = in_front(v);
  Tensor divisor = at::scalar_tensor((front + n) / m, queries.options());
  Tensor token, of_segment;  // [b, 1, n, 1] and [b, 1, m, 1] bool, if there is a mask
  if (mask.defined()) {
    token = at::constant_pad_nd(as_bool(mask, q), {front, 0}).unsqueeze(1).unsqueeze(3);
    for (Tensor* x : {&queries, &keys, &values}) *x = *x * token;
    const Tensor count = segments(token, m).sum(3);
    divisor = (count.to(at::kFloat) + kLucidrainsEpsilon).to(queries.scalar_type());
    of_segment = count > 0;
  }
  const auto masked_probabilities = [&](const Tensor& s, const Tensor& row, const Tensor& column) {
    if (!mask.defined()) return probabilities(s);
    const Tensor real = row.logical_and(column.transpose(-2, -1));
    return probabilities(s.masked_fill(real.logical_not(), lowest(s)));
  };
  queries = queries / std::sqrt(static_cast<double>(q.size(3)));
  const Tensor qm = segments(queries, m).sum(3) / divisor, km = segments(keys, m).sum(3) / divisor;
  const Tensor f = masked_probabilities(scores(queries, km), token, of_segment);
  const Tensor a = masked_probabilities(scores(qm, km), of_segment, of_segment);
  const Tensor b = masked_probabilities(scores(qm, keys), of_segment, token);
  const Tensor z = pseudo_inverse(a, options.inverse_steps, InverseStart::kProduct);
  const Tensor out = at::matmul(f, at::matmul(z, at::matmul(b, values)));
  return with_convolution(out, values, filter).slice(2, front).to(q.scalar_type());
}

Tensor attention(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                 const Options& options, const Tensor& filter) {
  switch (options.profile) {
    case Profile::kHuggingFace:
      return hugging_face_attention(q, k, v, mask, options, filter);
    case Profile::kMlpen:
      return mlpen_attention(q, k, v, mask, options, filter);
    case Profile::kLucidrains:
    case Profile::kTransmil:
      return lucidrains_attention(q, k, v, mask, options, filter);
    case Profile::kNone:
    case Profile::kLinformer:
    case Profile::kLinformerPytorch:
    case Profile::kFairseq:
      break;
  }
  TORCH_CHECK_VALUE(false, "lowrank::compat::attention: profile = \"",
                    profile_name(options.profile),
                    "\"; it must be hf, mlpen, lucidrains or transmil, which have landmarks. Use "
                    "the ordinary operators, or the module of that package.");
}

}  // namespace lowrank::compat
