// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/checks.h"

#include <ATen/ATen.h>

namespace lowrank {
namespace {

using at::Tensor;

// Dtype and device of `x` are those of `q`.
void check_alike(const char* op, const char* name, const Tensor& x, const Tensor& q) {
  TORCH_CHECK_TYPE(x.scalar_type() == q.scalar_type(), op, ": q and ", name,
                   " must share one dtype; got ", q.scalar_type(), " and ", x.scalar_type(),
                   ". Convert ", name, " with .to(q.dtype).");
  TORCH_CHECK_TYPE(x.device() == q.device(), op, ": q and ", name, " must be on one device; got ",
                   q.device(), " and ", x.device(), ". Move ", name, " with .to(q.device).");
}

void check_qkv(const char* op, const Tensor& q, const Tensor& k, const Tensor& v, int64_t rank,
               const char* layout) {
  const auto check_rank = [&](const char* name, const Tensor& x) {
    TORCH_CHECK_VALUE(x.dim() == rank, op, ": ", name, " must be ", layout, "; got ", x.dim(),
                      " dimensions, sizes ", x.sizes(), ". Reshape it.");
  };
  check_rank("q", q);
  check_rank("k", k);
  check_rank("v", v);
  check_dtype(op, "q", q);
  check_alike(op, "k", k, q);
  check_alike(op, "v", v, q);
  TORCH_CHECK_VALUE(k.sizes() == v.sizes(), op, ": k and v must have the same sizes; got ",
                    k.sizes(), " and ", v.sizes(), ". Give one value for each key.");
}

}  // namespace

void check_not_causal(const char* op, bool causal) {
  TORCH_CHECK_VALUE(
      !causal, op,
      ": causal = true; landmarks and projections of a sequence see its future, so no "
      "causal form is offered. Use torch's scaled_dot_product_attention.");
}

void check_range(const char* op, const char* name, int64_t value, int64_t min, int64_t max) {
  TORCH_CHECK_VALUE(min <= value && value <= max, op, ": ", name, " = ", value,
                    "; it must be from ", min, " to ", max, ". Choose a value in that range.");
}

void check_dtype(const char* op, const char* name, const Tensor& x) {
  const at::ScalarType dtype = x.scalar_type();
  TORCH_CHECK_TYPE(
      dtype == at::kFloat || dtype == at::kDouble || dtype == at::kBFloat16 || dtype == at::kHalf,
      op, ": ", name, " must be float32, bfloat16, float16 or float64; got ", dtype,
      ". Convert it with .to(torch.float32).");
}

void check_offsets(const char* op, const char* name, const Tensor& offsets, int64_t total) {
  TORCH_CHECK_TYPE(offsets.scalar_type() == at::kLong && offsets.is_cpu(), op, ": ", name,
                   " must be int64 on the CPU; got ", offsets.scalar_type(), " on ",
                   offsets.device(), ". Convert it with .to(\"cpu\", torch.int64).");
  TORCH_CHECK_VALUE(offsets.dim() == 1 && offsets.numel() >= 1, op, ": ", name,
                    " must be [batch + 1]; got sizes ", offsets.sizes(),
                    ". Give the first row of each sequence and, last, the number of rows.");
  const Tensor contiguous = offsets.contiguous();
  const int64_t* at = contiguous.const_data_ptr<int64_t>();
  const int64_t last = offsets.numel() - 1;
  TORCH_CHECK_VALUE(at[0] == 0 && at[last] == total, op, ": ", name, " must go from 0 to ", total,
                    ", the number of rows; got ", at[0], " to ", at[last],
                    ". Give the first row of each sequence and, last, the number of rows.");
  for (int64_t i = 0; i < last; ++i) {
    TORCH_CHECK_VALUE(at[i] <= at[i + 1], op, ": ", name, " must ascend; got ", at[i], " before ",
                      at[i + 1], " at index ", i, ". Use the running sum of the lengths.");
  }
}

void check_ragged(const char* op, const Tensor& q, const Tensor& k, const Tensor& v,
                  const Tensor& offsets, const Tensor& offsets_k) {
  check_qkv(op, q, k, v, 3, "[total, heads, head_size]");
  TORCH_CHECK_VALUE(
      q.size(1) == k.size(1) && q.size(2) == k.size(2) && q.size(1) > 0 && q.size(2) > 0, op,
      ": q and k must share heads and head_size, each at least 1; got ", q.sizes(), " and ",
      k.sizes(), ". Project both to one width.");
  check_offsets(op, "offsets", offsets, q.size(0));
  if (!offsets_k.defined()) {
    TORCH_CHECK_VALUE(q.size(0) == k.size(0), op, ": q has ", q.size(0), " rows and k has ",
                      k.size(0), "; without offsets_k they must agree. Pass offsets_k.");
    return;
  }
  check_offsets(op, "offsets_k", offsets_k, k.size(0));
  TORCH_CHECK_VALUE(offsets.numel() == offsets_k.numel(), op, ": offsets describe ",
                    offsets.numel() - 1, " sequences and offsets_k ", offsets_k.numel() - 1,
                    "; they must agree. Give each query sequence its key sequence.");
}

void check_padded(const char* op, const Tensor& q, const Tensor& k, const Tensor& v,
                  const Tensor& mask) {
  check_qkv(op, q, k, v, 4, "[batch, heads, length, head_size]");
  TORCH_CHECK_VALUE(q.sizes() == k.sizes(), op, ": q and k must have the same sizes; got ",
                    q.sizes(), " and ", k.sizes(), ". Use the ragged op for cross-attention.");
  if (!mask.defined()) return;
  const bool lengths = mask.scalar_type() == at::kLong;
  TORCH_CHECK_TYPE(lengths || mask.scalar_type() == at::kBool, op,
                   ": mask must be bool [batch, length] or int64 lengths [batch]; got ",
                   mask.scalar_type(), ". Convert a 0/1 mask with .to(torch.bool).");
  const bool fits = mask.dim() == (lengths ? 1 : 2) && mask.size(0) == q.size(0) &&
                    (lengths || mask.size(1) == q.size(2));
  TORCH_CHECK_VALUE(fits, op, ": mask must be bool [batch, length] or int64 lengths [batch] of q ",
                    q.sizes(), "; got ", mask.scalar_type(), " ", mask.sizes(),
                    ". Give one entry for each token, or one length for each sequence.");
  if (!lengths || mask.numel() == 0) return;
  const int64_t low = mask.min().item<int64_t>(), high = mask.max().item<int64_t>();
  TORCH_CHECK_VALUE(low >= 0 && high <= q.size(2), op, ": lengths must be from 0 to ", q.size(2),
                    "; got ", low, " to ", high, ". Pad q, k and v to the longest sequence.");
}

void check_filter(const char* op, const Tensor& filter, const Tensor& q) {
  if (!filter.defined()) return;
  const int64_t heads = q.size(1);  // of [total, h, d] and of [b, h, n, d] alike
  TORCH_CHECK_VALUE(filter.dim() == 2 && filter.size(0) == heads, op, ": filter must be [", heads,
                    ", taps], one row for each head; got sizes ", filter.sizes(), ". Reshape it.");
  TORCH_CHECK_VALUE(filter.size(1) % 2 == 1, op, ": filter has ", filter.size(1),
                    " taps; the number must be odd. Use ", filter.size(1) + 1,
                    ", or pass no filter for no convolution.");
  check_alike(op, "filter", filter, q);
}

void check_conv(const char* op, int64_t conv, const Tensor& filter) {
  const int64_t taps = filter.defined() && filter.dim() == 2 ? filter.size(1) : 0;
  TORCH_CHECK_VALUE(conv == taps, op, ": options.conv = ", conv, " and the filter has ", taps,
                    " taps; they must agree. Pass a filter of [heads, ", conv,
                    "], or set options.conv to ", taps, ".");
}

void check_projection(const char* op, const char* name, const Tensor& e, const Tensor& x,
                      const Tensor& offsets, std::optional<int64_t> heads) {
  const bool shared = e.dim() == 2;
  const bool per_head = heads && e.dim() == 3 && e.size(0) == *heads;
  const char* layout = heads ? "[projected, max_length] or [heads, projected, max_length]"
                             : "[projected, max_length]";
  TORCH_CHECK_VALUE((shared || per_head) && e.size(-2) > 0, op, ": ", name, " must be ", layout,
                    "; got sizes ", e.sizes(),
                    heads ? c10::str(" with ", *heads, " heads") : std::string(), ". Reshape it.");
  TORCH_CHECK_TYPE(e.scalar_type() == x.scalar_type() && e.device() == x.device(), op, ": ", name,
                   " must have the input's dtype and device, ", x.scalar_type(), " on ", x.device(),
                   "; got ", e.scalar_type(), " on ", e.device(), ". Convert it with .to().");
  if (offsets.numel() < 2) return;
  const int64_t longest = offsets.diff().max().item<int64_t>();
  TORCH_CHECK_VALUE(longest <= e.size(-1), op, ": a sequence has ", longest, " tokens and ", name,
                    " has columns for ", e.size(-1),
                    "; longer input is refused. Resize it with resize_projection(", name, ", ",
                    longest, "), or shorten the sequence.");
}

}  // namespace lowrank
