// SPDX-License-Identifier: Apache-2.0
#include "lowrank/nn/ragged.h"

#include <ATen/ATen.h>

#include <algorithm>

namespace lowrank::nn {
namespace {

at::Tensor lengths(const at::Tensor& offsets) {
  return offsets.slice(0, 1) - offsets.slice(0, 0, -1);
}

// For each row of `offsets`' batch the entry of `per_sequence` [b] that belongs to its sequence.
at::Tensor spread(const at::Tensor& per_sequence, const at::Tensor& offsets) {
  return per_sequence.repeat_interleave(lengths(offsets));
}

}  // namespace

void check_offsets(const at::Tensor& offsets, int64_t total, const char* where) {
  TORCH_CHECK_TYPE(
      offsets.defined() && offsets.scalar_type() == at::kLong && offsets.is_cpu(), where,
      ": offsets must be int64 on the CPU. Call offsets.to(at::kLong).cpu() once a batch.");
  TORCH_CHECK_VALUE(offsets.dim() == 1 && offsets.numel() >= 1, where,
                    ": offsets must be [b + 1]; got sizes ", offsets.sizes(), ".");
  const at::Tensor contiguous = offsets.contiguous();
  const int64_t* begin = contiguous.const_data_ptr<int64_t>();
  const int64_t* end = begin + contiguous.numel();
  TORCH_CHECK_VALUE(*begin == 0 && *(end - 1) == total && std::is_sorted(begin, end), where,
                    ": offsets must ascend from 0 to the ", total, " rows of the batch; got ",
                    *begin, " to ", *(end - 1), ".");
}

at::Tensor window_offsets(const at::Tensor& offsets, int64_t w) {
  const at::Tensor counts = (lengths(offsets) + (w - 1)).floor_divide(w);
  return at::cat({at::zeros({1}, counts.options()), counts.cumsum(0)});
}

at::Tensor window_sizes(const at::Tensor& offsets, int64_t w) {
  const at::Tensor windows = window_offsets(offsets, w);
  return (spread(lengths(offsets), windows) - places(windows) * w).clamp_max(w);
}

at::Tensor places(const at::Tensor& offsets) {
  const int64_t total = offsets[-1].item<int64_t>();
  return at::arange(total, offsets.options()) - spread(offsets.slice(0, 0, -1), offsets);
}

at::Tensor cut_windows(const at::Tensor& x, const at::Tensor& offsets, int64_t w, double fill) {
  const at::Tensor windows = window_offsets(offsets, w);
  const int64_t count = windows[-1].item<int64_t>();
  const at::Tensor rows = places(offsets) + spread(windows.slice(0, 0, -1) * w, offsets);
  const at::Tensor cut = at::full({count * w, x.size(1)}, fill, x.options());
  return cut.index_copy(0, rows.to(x.device()), x).view({count, w, x.size(1)});
}

}  // namespace lowrank::nn
