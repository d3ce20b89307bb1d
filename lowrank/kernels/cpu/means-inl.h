// SPDX-License-Identifier: Apache-2.0
// The means of m consecutive segments, the landmarks.

// The sum of `rows` rows of x, columns 0 to kVectors * kLanes, times `share`.
template <class Element, int kVectors>
LOWRANK_INLINE void mean_of_rows(const Element* x, int64_t stride, int64_t rows, Vector share,
                                 float* out) {
  Vector sum[kVectors] = {};
  for (int64_t i = 0; i < rows; ++i, x += stride) {
    ask_for_row(x + kRowsAhead * stride, kVectors * kLanes);
    for (int j = 0; j < kVectors; ++j) sum[j] = sum[j] + load_values(x + j * kLanes);
  }
  for (int j = 0; j < kVectors; ++j) store(out + j * kLanes, sum[j] * share);
}

template <class Element>
static void means(Rows x, int64_t n, int64_t d, int64_t m, float* out) {
  const int64_t size = n / m, longer = n % m, dp = padded(d);
  const Element* row = static_cast<const Element*>(x.at);
  for (int64_t segment = 0; segment < m; ++segment, out += dp) {
    const int64_t length = size + (segment < longer ? 1 : 0);
    const Vector share = broadcast(1 / static_cast<float>(length));
    int64_t j = 0;
    for (; j + kBlockColumns <= d; j += kBlockColumns) {
      mean_of_rows<Element, kMaxVectors>(row + j, x.stride, length, share, out + j);
    }
    for (; j < d; j += kLanes) {
      Vector sum = {};
      for (int64_t i = 0; i < length; ++i) sum = sum + load_values(row + i * x.stride + j, d - j);
      store(out + j, sum * share);
    }
    fill(out + j, dp - j, 0);
    row += length * x.stride;
  }
}

template <class Element>
static void add_means_gradient(const float* gradient, int64_t n, int64_t d, int64_t m, Chunk chunk,
                               WritableRows grad_x) {
  const int64_t size = n / m, longer = n % m, border = longer * (size + 1), dp = padded(d);
  for (int64_t i = chunk.begin; i < chunk.end; ++i) {
    const bool is_long = i < border;
    const int64_t segment = is_long ? i / (size + 1) : longer + (i - border) / size;
    const Vector share = broadcast(1 / static_cast<float>(is_long ? size + 1 : size));
    Element* row = static_cast<Element*>(grad_x.at) + i * grad_x.stride;
    for (int64_t j = 0; j < d; j += kLanes) {
      const Vector sum = load_values(row + j, d - j) + load(gradient + segment * dp + j) * share;
      store_values(row + j, sum, d - j);
    }
  }
}
