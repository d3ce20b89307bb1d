// SPDX-License-Identifier: Apache-2.0
// The depthwise convolution along the sequence, its gradients, and the way of results back to memory.

// Note [Convolution as products]
// A block of kBandRows results reads kBandRows + taps - 1 rows of x. As a product, the block is a
// banded matrix, the same for all blocks, times those rows: a few more multiply-adds than the sum
// over the taps, but each row of x is read once.
constexpr int64_t kConvolutionRows = 48;  // a tile where no product sets the size

// The rows of x that a tile of the convolution reads, as the right operand of that product. The next
// tile finds those that it shares with this one in place.
template <class Operands>
class ConvolutionTile {
 public:
  using Element = typename Operands::Element;
  static constexpr int64_t kPack = Operands::kPack, kBandRows = Operands::kBandRows;

  struct Memory {
    Memory(Arena* arena, int64_t tile, int64_t d, int64_t taps)
        : window(arena->take(taps == 0 ? 0 : ((tile + taps) / kPack + 1) * padded(d))),
          band(arena->take(taps == 0 ? 0 : kBandRows * padded(taps + kBandRows))) {}
    float *window, *band;
  };

  // Every tile but the last has the number of rows that its memory was made for, an even one.
  ConvolutionTile(const Convolution& convolution, int64_t d, const Memory& memory)
      : convolution_(convolution), d_(d), dp_(padded(d)), window_(memory.window) {
    const int64_t taps = convolution.taps, columns = padded(taps + kBandRows);
    if (taps == 0) return;
    float* band = memory.band;
    fill(band, kBandRows * columns, 0);
    for (int64_t i = 0; i < kBandRows; ++i) {
      for (int64_t t = 0; t < taps; ++t) band[i * columns + i + t] = convolution.filter[t];
    }
    band_ = Operands::left_floats(band, kBandRows, columns, band);
  }

  // values [end - begin, padded(d)] = the convolution's rows begin to end, or, with `add`, += them.
  void compute(int64_t begin, int64_t end, float* values, bool add = false) {
    const int64_t taps = convolution_.taps;
    if (taps == 0) return;
    move_to(begin, end);
    for (int64_t i = 0; i < end - begin; i += kBandRows) {
      const int64_t rows = end - begin - i < kBandRows ? end - begin - i : kBandRows;
      multiply<typename Operands::Type>(rows, dp_, (rows + taps - 1 + kPack - 1) / kPack, band_,
                                        in_rows(window_ + i / kPack * dp_, d_), values + i * dp_,
                                        dp_, add);
    }
  }

  // The rows of x that the tile from row `begin` will be the first to read.
  Stream stream(int64_t begin) const {
    const int64_t taps = convolution_.taps;
    if (taps == 0) return {};
    return stream_of<Element>(convolution_.x.at, convolution_.x.stride, begin - taps / 2 + taps - 1,
                              d_);
  }

 private:
  void move_to(int64_t begin, int64_t end) {
    const int64_t taps = convolution_.taps, first = begin - taps / 2;
    const int64_t last = first + end - begin + taps - 1;
    const int64_t kept = end_ > first ? end_ - first : 0;
    const float* source = window_ + (first - begin_) / kPack * dp_;
    if (kept > 0) {
      for (int64_t i = 0; i < kept / kPack * dp_; i += kLanes) store(window_ + i, load(source + i));
    }
    Operands::right_rows(convolution_.x, convolution_.n, d_, first + kept, last,
                         window_ + kept / kPack * dp_);
    begin_ = first;
    end_ = last;
  }

  const Convolution& convolution_;
  const int64_t d_, dp_;
  float* const window_;
  Left band_ = {};
  int64_t begin_ = 0, end_ = INT64_MIN;
};

// Rows `begin` to `end` of out [., d] = values [end - begin, padded(d)].
template <class Element>
static void write_rows(const float* values, int64_t d, int64_t begin, int64_t end,
                       WritableRows out) {
  const int64_t dp = padded(d);
  for (int64_t i = begin; i < end; ++i, values += dp) {
    Element* row = static_cast<Element*>(out.at) + i * out.stride;
    for (int64_t j = 0; j < d; j += kLanes) store_values(row + j, load(values + j), d - j);
  }
}

template <class Operands>
static void narrow(float* wide, int64_t n, int64_t d, const Convolution& convolution,
                   WritableRows x, float* scratch) {
  const typename Operands::Scope scope;
  Arena arena(scratch);
  ConvolutionTile<Operands> tile(convolution, d, {&arena, kConvolutionRows, d, convolution.taps});
  for (int64_t begin = 0; begin < n; begin += kConvolutionRows) {
    const int64_t end = begin + kConvolutionRows < n ? begin + kConvolutionRows : n;
    tile.compute(begin, end, wide + begin * padded(d), /*add=*/true);
    write_rows<typename Operands::Element>(wide + begin * padded(d), d, begin, end, x);
  }
}

// Note [Gradient of the filter]
// filter[t] gets the sum over rows and columns of x[i + t - taps / 2] gradient[i]. A few rows of the
// gradient meet the rows of x that they share, while the sums of a few taps stay in registers, one
// lane for each column.
constexpr int kFilterTaps = 11, kFilterRows = 4;

template <int kTaps, int kRows>
static void add_tap_sums(const float* window, const float* gradient, int64_t dp, int64_t rows,
                         float* filter) {
  Vector sum[kTaps] = {};
  for (int64_t i = 0; i + kRows <= rows; i += kRows) {
    for (int64_t j = 0; j < dp; j += kLanes) {
      Vector g[kRows];
      for (int r = 0; r < kRows; ++r) g[r] = load(gradient + (i + r) * dp + j);
#pragma GCC unroll 16
      for (int x = 0; x < kTaps + kRows - 1; ++x) {
        const Vector row = load(window + (i + x) * dp + j);
#pragma GCC unroll 4
        for (int r = 0; r < kRows; ++r) {
          if (x >= r && x - r < kTaps) sum[x - r] = g[r] * row + sum[x - r];
        }
      }
    }
  }
  for (int t = 0; t < kTaps; ++t) filter[t] += sum_of_lanes(sum[t]);
}

template <int kTaps>
static void add_tap_sums(const float* window, const float* gradient, int64_t dp, int64_t rows,
                         float* filter) {
  const int64_t even = rows / kFilterRows * kFilterRows;
  add_tap_sums<kTaps, kFilterRows>(window, gradient, dp, even, filter);
  add_tap_sums<kTaps, 1>(window + even * dp, gradient + even * dp, dp, rows - even, filter);
}

struct FilterGradientMemory {
  FilterGradientMemory(Arena* arena, int64_t d, int64_t taps)
      : wide(arena->take(kConvolutionRows * padded(d))),
        window(arena->take((kConvolutionRows + taps) * padded(d))) {}
  float *wide, *window;
};

template <class Operands>
static int64_t filter_gradient_floats(int64_t d, int64_t taps) {
  return floats_of<FilterGradientMemory>(d, taps);
}

template <class Operands>
static void filter_gradient(Rows gradient, const Convolution& convolution, int64_t d, Chunk chunk,
                            float* filter, float* scratch) {
  using Element = typename Operands::Element;
  constexpr int64_t kRows = kConvolutionRows;
  const int64_t dp = padded(d), taps = convolution.taps;
  Arena arena(scratch);
  const FilterGradientMemory memory(&arena, d, taps);
  float *wide = memory.wide, *window = memory.window;
  for (int64_t begin = chunk.begin; begin < chunk.end; begin += kRows) {
    const int64_t end = begin + kRows < chunk.end ? begin + kRows : chunk.end;
    const int64_t first = begin - taps / 2;
    widen_rows<Element>(gradient, end, d, begin, end, wide);
    widen_rows<Element>(convolution.x, convolution.n, d, first, first + end - begin + taps - 1,
                        window);
    int64_t t = 0;
    for (; t + kFilterTaps <= taps; t += kFilterTaps) {
      add_tap_sums<kFilterTaps>(window + t * dp, wide, dp, end - begin, filter + t);
    }
    for (; t < taps; ++t) add_tap_sums<1>(window + t * dp, wide, dp, end - begin, filter + t);
  }
}

#if defined(__AMX_BF16__)
// Note [Gradient of the filter in tiles]
// The product of 16 rows of the gradient with all rows of x that they meet holds filter[t]'s share
// along its t-th diagonal. Its sum over all such blocks stays in `sums`, and the diagonals are added
// up once.
struct FilterGradientTiles {
  // Blocks of columns that 16 rows of the gradient meet.
  static int64_t spread(int64_t taps) { return padded(taps + kTile - 1) / kTile; }

  FilterGradientTiles(Arena* arena, int64_t d, int64_t taps)
      : sums(arena->take(spread(taps) * kTile * kTile)),
        x_transposed(arena->take(padded(d / 2) * kTile)) {}
  float *sums, *x_transposed;
};

template <>
int64_t filter_gradient_floats<TileOperands>(int64_t d, int64_t taps) {
  return floats_of<FilterGradientTiles>(d, taps);
}

template <>
void filter_gradient<TileOperands>(Rows gradient, const Convolution& convolution, int64_t d,
                                   Chunk chunk, float* filter, float* scratch) {
  const TileScope scope;
  const int64_t taps = convolution.taps, units_of_row = d / 2;
  const int64_t blocks = (chunk.end - chunk.begin + kTile - 1) / kTile;
  const int64_t spread = FilterGradientTiles::spread(taps);
  Arena arena(scratch);
  const FilterGradientTiles memory(&arena, d, taps);
  float *sums = memory.sums, *x_transposed = memory.x_transposed;
  fill(sums, spread * kTile * kTile, 0);
  for (int64_t block = 0; block < blocks + spread - 1; ++block) {
    const int64_t first = chunk.begin - taps / 2 + block * kTile;
    const Right right = TileOperands::right_transposed_rows(convolution.x, convolution.n, first,
                                                            units_of_row, x_transposed);
    for (int64_t i = 0; i < spread; ++i) {
      const int64_t begin = chunk.begin + (block - i) * kTile;
      if (begin < chunk.begin || begin >= chunk.end) continue;
      const int64_t rows = chunk.end - begin < kTile ? chunk.end - begin : kTile;
      const Left left = TileOperands::left_rows(gradient, begin, begin + rows, d, nullptr);
      const Ahead ahead = {
          {stream_of<Bfloat16>(gradient.at, gradient.stride, begin + kTile, d),
           stream_of<Bfloat16>(convolution.x.at, convolution.x.stride, first + 2 * kTile, d)}};
      multiply<TileUnit>(rows, kTile, units_of_row, left, right, sums + i * kTile * kTile, kTile,
                         true, i == 0 ? ahead : Ahead{});
    }
  }
  for (int64_t t = 0; t < taps; ++t) {
    for (int64_t i = 0; i < kTile; ++i) {
      const int64_t column = i + t;
      filter[t] += sums[(column / kTile * kTile + i) * kTile + column % kTile];
    }
  }
}
#endif
