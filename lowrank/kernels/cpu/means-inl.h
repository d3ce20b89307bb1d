// SPDX-License-Identifier: Apache-2.0
// The means of m consecutive segments, the landmarks.

template <class Element>
static void means(Rows x, int64_t n, int64_t d, int64_t m, float* out) {
  const int64_t size = n / m, longer = n % m, dp = padded(d);
  const Element* row = static_cast<const Element*>(x.at);
  for (int64_t segment = 0; segment < m; ++segment, out += dp) {
    const int64_t length = size + (segment < longer ? 1 : 0);
    fill(out, dp, 0);
    for (int64_t i = 0; i < length; ++i, row += x.stride) {
      ask_for_row(row + kRowsAhead * x.stride, d);
      for (int64_t j = 0; j < d; j += kLanes) {
        store(out + j, load(out + j) + load_values(row + j, d - j));
      }
    }
    const Vector share = broadcast(1 / static_cast<float>(length));
    for (int64_t j = 0; j < dp; j += kLanes) store(out + j, load(out + j) * share);
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
