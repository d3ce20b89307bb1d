// SPDX-License-Identifier: Apache-2.0
// The means of m consecutive segments, the landmarks.

// One row's share of its segment's mean.
LOWRANK_INLINE Vector share_of_row(Segments segments, int64_t segment) {
  return broadcast(1 / static_cast<float>(segments.rows(segment)));
}

// Adds `rows` rows to kVectors vectors of sums.
template <int kVectors, class Element>
LOWRANK_INLINE void add_rows(const Element* row, int64_t stride, int64_t rows, float* sums) {
  Vector sum[kVectors];
  for (int j = 0; j < kVectors; ++j) sum[j] = load(sums + j * kLanes);
  for (int64_t i = 0; i < rows; ++i, row += stride) {
    for (int j = 0; j < kVectors; ++j) sum[j] = sum[j] + load_values(row + j * kLanes);
  }
  for (int j = 0; j < kVectors; ++j) store(sums + j * kLanes, sum[j]);
}

// Adds rows begin to end of x to the sums of their segments, and divides a segment's sum behind its
// last row: rows that pass in their order, in whatever pieces, give the same bits.
template <class Element>
static void add_to_means(Rows x, Segments segments, int64_t d, int64_t begin, int64_t end,
                         float* means) {
  const int64_t dp = padded(d);
  while (begin < end) {
    const int64_t segment = segments.of(begin), last = segments.begin(segment + 1);
    const int64_t stop = end < last ? end : last, rows = stop - begin;
    const Element* row = static_cast<const Element*>(x.at) + begin * x.stride;
    float* sums = means + segment * dp;
    if (begin == segments.begin(segment)) fill(sums, dp, 0);
    int64_t j = 0;
    for (; j + 4 * kLanes <= d; j += 4 * kLanes) add_rows<4>(row + j, x.stride, rows, sums + j);
    for (; j + kLanes <= d; j += kLanes) add_rows<1>(row + j, x.stride, rows, sums + j);
    for (int64_t i = 0; j < d && i < rows; ++i) {
      store(sums + j, load(sums + j) + load_values(row + i * x.stride + j, d - j));
    }
    begin = stop;
    if (stop < last) return;
    const Vector share = share_of_row(segments, segment);
    for (j = 0; j < dp; j += kLanes) store(sums + j, load(sums + j) * share);
  }
}

template <class Element>
static void means(Rows x, Segments segments, int64_t d, float* out) {
  constexpr int64_t kRows = 8;
  for (int64_t i = 0; i < segments.n; i += kRows) {
    const int64_t end = i + kRows < segments.n ? i + kRows : segments.n;
    const Element* ahead = static_cast<const Element*>(x.at) + (i + kRowsAhead) * x.stride;
    for (int64_t row = 0; row < kRows; ++row) ask_for_row(ahead + row * x.stride, d);
    add_to_means<Element>(x, segments, d, i, end, out);
  }
}

template <class Element>
static void add_means_gradient(const float* gradient, Segments segments, int64_t d, Chunk chunk,
                               WritableRows grad_x) {
  const int64_t dp = padded(d);
  for (int64_t i = chunk.begin; i < chunk.end; ++i) {
    const int64_t segment = segments.of(i);
    const Vector share = share_of_row(segments, segment);
    Element* row = static_cast<Element*>(grad_x.at) + i * grad_x.stride;
    for (int64_t j = 0; j < d; j += kLanes) {
      const Vector sum = load_values(row + j, d - j) + load(gradient + segment * dp + j) * share;
      store_values(row + j, sum, d - j);
    }
  }
}

// Rows begin to end of the same gradient.
static void spread_means_gradient(const float* gradient, Segments segments, int64_t dp,
                                  int64_t begin, int64_t end, float* rows) {
  for (int64_t i = begin; i < end; ++i, rows += dp) {
    const int64_t segment = segments.of(i);
    const Vector share = share_of_row(segments, segment);
    for (int64_t j = 0; j < dp; j += kLanes) {
      store(rows + j, load(gradient + segment * dp + j) * share);
    }
  }
}
