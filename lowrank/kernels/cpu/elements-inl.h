// SPDX-License-Identifier: Apache-2.0
// Elements in memory, their values in registers, and operands of products made of them.

struct Bfloat16 {
  uint16_t bits;
};

LOWRANK_INLINE Vector load_values(const float* x) { return load(x); }

LOWRANK_INLINE Vector load_values(const Bfloat16* x) {
  typedef uint16_t Halves __attribute__((vector_size(2 * kLanes), aligned(2), may_alias));
  const IntVector bits = __builtin_convertvector(*reinterpret_cast<const Halves*>(x), IntVector);
  return (Vector)(bits << 16);
}

// Rounded to nearest, ties to even; NaN stays NaN.
LOWRANK_INLINE IntVector round_to_bfloat16(Vector x) {
  const IntVector bits = (IntVector)x;
  const IntVector rounded = bits + 0x7FFF + ((bits >> 16) & 1);
  const IntVector result = x == x ? rounded : (bits | 0x400000);
  return (result >> 16) & 0xFFFF;
}

LOWRANK_INLINE void store_values(float* x, Vector value) { store(x, value); }

LOWRANK_INLINE void store_values(Bfloat16* x, Vector value) {
#if defined(__AVX512BF16__)
  _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(x), (__m256i)_mm512_cvtneps_pbh(value));
  return;
#endif
  typedef uint16_t Halves __attribute__((vector_size(2 * kLanes), aligned(2), may_alias));
  *reinterpret_cast<Halves*>(x) = __builtin_convertvector(round_to_bfloat16(value), Halves);
}

template <class Element>
LOWRANK_INLINE Vector load_values(const Element* x, int64_t count) {
  if (count >= kLanes) return load_values(x);
  Element lanes[kLanes] = {};
  for (int64_t i = 0; i < count; ++i) lanes[i] = x[i];
  return load_values(lanes);
}

template <class Element>
LOWRANK_INLINE void store_values(Element* x, Vector value, int64_t count) {
  if (count >= kLanes) return store_values(x, value);
  Element lanes[kLanes];
  store_values(lanes, value);
  for (int64_t i = 0; i < count; ++i) x[i] = lanes[i];
}

// Memory for one call, handed out in parts that begin on a cache line.
class Arena {
 public:
  explicit Arena(float* at) : at_(at) {}
  float* take(int64_t floats) {
    float* part = at_ == nullptr ? nullptr : at_ + taken_;
    taken_ += padded(floats);
    return part;
  }
  int64_t taken() const { return taken_; }

 private:
  float* const at_;
  int64_t taken_ = 0;
};

// The floats that a kernel takes from an arena: what its Memory is made with there.
template <class Memory, class... Shape>
static int64_t floats_of(Shape... shape) {
  Arena arena(nullptr);
  const Memory memory(&arena, shape...);
  return arena.taken();
}

LOWRANK_INLINE int64_t larger_of(int64_t a, int64_t b) { return a > b ? a : b; }

static void fill(float* x, int64_t count, float value) {
  for (int64_t i = 0; i < count; ++i) x[i] = value;
}

// How far a pass over rows looks ahead.
constexpr int64_t kRowsAhead = 24;

template <class Element>
LOWRANK_INLINE void ask_for_row(const Element* row, int64_t d) {
  const auto* bytes = reinterpret_cast<const char*>(row);
  for (int64_t j = 0; j < d * static_cast<int64_t>(sizeof(Element)); j += 64) {
    __builtin_prefetch(bytes + j);
  }
}

// Rows `begin` to `end` of x [n, d] as floats [end - begin, padded(d)]; zeros where x has no row.
template <class Element>
static void widen_rows(Rows x, int64_t n, int64_t d, int64_t begin, int64_t end, float* wide) {
  const int64_t columns = padded(d);
  for (int64_t i = begin; i < end; ++i, wide += columns) {
    if (i < 0 || i >= n) {
      fill(wide, columns, 0);
      continue;
    }
    const Element* row = static_cast<const Element*>(x.at) + i * x.stride;
    ask_for_row(row + kRowsAhead * x.stride, d);
    for (int64_t j = 0; j < columns; j += kLanes) {
      store(wide + j, j < d ? load_values(row + j, d - j) : Vector{});
    }
  }
}

// Rows of x from `begin`, for `Ahead`.
template <class Element>
LOWRANK_INLINE Stream stream_of(const void* x, int64_t stride, int64_t begin, int64_t d) {
  const auto size = static_cast<int64_t>(sizeof(Element));
  return {static_cast<const char*>(x) + begin * stride * size, stride * size, d * size};
}

LOWRANK_INLINE const Unit* units(const float* x) { return reinterpret_cast<const Unit*>(x); }

// A right operand of padded columns, in rows.
LOWRANK_INLINE Right in_rows(const float* x, int64_t columns) {
  return {units(x), padded(columns), kBlockColumns};
}

// The same in panels, and the columns that those have together.
LOWRANK_INLINE Right in_panels(const float* x, int64_t depth, int64_t columns) {
  if (padded(columns) <= kBlockColumns) return in_rows(x, columns);
  return {units(x), kBlockColumns, depth * kBlockColumns};
}
constexpr int64_t panel_columns(int64_t columns) {
  if (padded(columns) <= kBlockColumns) return padded(columns);
  return (padded(columns) + kBlockColumns - 1) / kBlockColumns * kBlockColumns;
}

#if defined(__AVX512F__)
// The transpose of 16 lines of 16 units: row j of out holds the j-th of each, for j < count.
LOWRANK_INLINE void store_transposed(const __m512i* line, float* out, int64_t row, int64_t count) {
  __m512i a[kLanes], b[kLanes];
#pragma GCC unroll 16
  for (int i = 0; i < kLanes; i += 4) {  // pairs of lines, then fours: a[i + j] has columns 4 c + j
    const __m512i low = _mm512_unpacklo_epi32(line[i], line[i + 1]);
    const __m512i high = _mm512_unpackhi_epi32(line[i], line[i + 1]);
    const __m512i low_2 = _mm512_unpacklo_epi32(line[i + 2], line[i + 3]);
    const __m512i high_2 = _mm512_unpackhi_epi32(line[i + 2], line[i + 3]);
    a[i] = _mm512_unpacklo_epi64(low, low_2);
    a[i + 1] = _mm512_unpackhi_epi64(low, low_2);
    a[i + 2] = _mm512_unpacklo_epi64(high, high_2);
    a[i + 3] = _mm512_unpackhi_epi64(high, high_2);
  }
#pragma GCC unroll 16
  for (int j = 0; j < 4; ++j) {  // the quarters of four such
    const __m512i even = _mm512_shuffle_i32x4(a[j], a[4 + j], 0x88);
    const __m512i odd = _mm512_shuffle_i32x4(a[j], a[4 + j], 0xDD);
    const __m512i even_2 = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0x88);
    const __m512i odd_2 = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0xDD);
    b[j] = _mm512_shuffle_i32x4(even, even_2, 0x88);
    b[4 + j] = _mm512_shuffle_i32x4(odd, odd_2, 0x88);
    b[8 + j] = _mm512_shuffle_i32x4(even, even_2, 0xDD);
    b[12 + j] = _mm512_shuffle_i32x4(odd, odd_2, 0xDD);
  }
#pragma GCC unroll 16
  for (int j = 0; j < kLanes; ++j) {
    if (j < count) _mm512_storeu_si512(out + j * row, b[j]);
  }
}

// Writes the units that line(k, j) gives, of line k and its units j to j + 15, to unit (j, k) of
// `out`, in whose memory they are; zeros behind the lines.
template <class Line>
LOWRANK_INLINE void transpose_units(int64_t lines, int64_t width, float* memory, const Right& out,
                                    Line line) {
  for (int64_t j = 0; j < width; j += kLanes) {
    for (int64_t k = 0; k < lines; k += kLanes) {
      __m512i block[kLanes];
      if (k + kLanes <= lines) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) block[i] = line(k + i, j);
      } else {
        for (int i = 0; i < kLanes; ++i) {
          block[i] = k + i < lines ? line(k + i, j) : _mm512_setzero_si512();
        }
      }
      store_transposed(block, memory + (out.from(j, k) - units(memory)), out.row, width - j);
    }
  }
}
#endif

// Note [Operands]
// How an element type becomes the operands of products. `kPack` values of the summed dimension make
// a unit. "left" operands are read one unit at a time and may lie in strides; "right" operands are
// [depth, columns], the columns padded. The scratch of a transposed left one has room for its columns
// and its depth in units, both padded. A kernel holds a `Scope` while it multiplies; bands of
// `kBandRows` rows make a convolution (see Note [Convolution as products]).
struct NoScope {
  NoScope() {}  // so that no compiler calls it unused
};

// The floats that a left operand of the columns of x [rows, columns] takes.
template <class Operands>
LOWRANK_INLINE int64_t transposed_floats(int64_t rows, int64_t columns) {
  if (Operands::kPack == 1) return 0;
  return padded(columns) * padded((rows + 1) / Operands::kPack);
}

// Elements of any type, products of floats.
template <class ElementType>
struct FloatOperands {
  using Element = ElementType;
  using Type = FloatUnit;
  using Scope = NoScope;
  static constexpr int64_t kPack = 1, kBandRows = kBlockRows, kTileRows = 48, kWideTileRows = 48;

  // exp(x - y) for x <= y, as exact as products of such operands are.
  LOWRANK_INLINE Vector exp_of_difference(Vector x, Vector y) { return exp_of_nonpositive(x - y); }

  // Rows `begin` to `end` of x [., d].
  static Left left_rows(Rows x, int64_t begin, int64_t end, int64_t d, float* scratch) {
    if constexpr (sizeof(Element) == sizeof(float)) {
      return {units(static_cast<const float*>(x.at)) + begin * x.stride, x.stride, 1};
    } else {
      widen_rows<Element>(x, end, d, begin, end, scratch);
      return {units(scratch), padded(d), 1};
    }
  }
  // The same as a right operand, summed over its rows; zeros where x [n, d] has no row.
  static Right right_rows(Rows x, int64_t n, int64_t d, int64_t begin, int64_t end,
                          float* scratch) {
    widen_rows<Element>(x, n, d, begin, end, scratch);
    return in_rows(scratch, d);
  }
  // x [rows, columns] with padded columns, summed over its rows.
  static Right right_floats(const float* x, int64_t rows, int64_t columns, float* scratch) {
    for (int64_t i = 0; i < rows * padded(columns); i += kLanes) store(scratch + i, load(x + i));
    return in_rows(scratch, columns);
  }
  // x [rows, columns] times `scale`, transposed to [columns, panel_columns(rows)], summed over columns.
  static Right right_transposed(const float* x, int64_t rows, int64_t columns, float scale,
                                float* scratch) {
    const Right right = in_panels(scratch, columns, rows);
    transpose(x, rows, columns, scale, scratch, right);
    return right;
  }
  // The same in the order of `out`, whose memory is `scratch`.
  static void transpose(const float* x, int64_t rows, int64_t columns, float scale, float* scratch,
                        const Right& out) {
    const int64_t stride = padded(columns);
#if defined(__AVX512F__)
    transpose_units(rows, columns, scratch, out, [&](int64_t i, int64_t j) {
      return (__m512i)(load(x + i * stride + j) * broadcast(scale));
    });
#else
    for (int64_t j = 0; j < columns; ++j) {
      for (int64_t i = 0; i < padded(rows); ++i) {
        scratch[out.from(j, i) - units(scratch)] = i < rows ? x[i * stride + j] * scale : 0;
      }
    }
#endif
  }
  // x [rows, padded(columns)], its rows on the left, summed over columns. `scratch` may be x itself.
  static Left left_floats(const float* x, int64_t, int64_t columns, float*) {
    return {units(x), padded(columns), 1};
  }
  // Its columns on the left, summed over rows.
  static Left left_transposed(const float* x, int64_t, int64_t columns, float*) {
    return {units(x), 1, padded(columns)};
  }
  // The columns of what `right_rows` gave on the left.
  static Left left_columns(const Right& x, int64_t, int64_t, float*) { return {x.at, 1, x.row}; }
};

#if defined(__AVX512BF16__)
// Bfloat16, products of pairs.
struct PairOperands {
  using Element = Bfloat16;
  using Type = PairUnit;
  using Scope = NoScope;
  static constexpr int64_t kPack = 2, kBandRows = kBlockRows, kTileRows = 48, kWideTileRows = 48;

  LOWRANK_INLINE Vector exp_of_difference(Vector x, Vector y) {
    return rough_exp_of_difference(x, y);
  }

  // Units of sixteen numbers of one row, in the low half, and of the next row, in the high half.
  LOWRANK_INLINE __m512i interleave(__m512i rows) {
    const __m512i order =
        _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9, 24, 8, 23, 7, 22, 6,
                         21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    return _mm512_permutexvar_epi16(order, rows);
  }
  LOWRANK_INLINE __m512i interleave(__m256i low, __m256i high) {
    return interleave(_mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1));
  }
  LOWRANK_INLINE __m512i pairs(Vector low, Vector high) {
    return interleave((__m512i)_mm512_cvtne2ps_pbh(high, low));
  }
  LOWRANK_INLINE __m256i narrow(Vector x) { return (__m256i)_mm512_cvtneps_pbh(x); }

  static Left left_rows(Rows x, int64_t begin, int64_t, int64_t, float*) {
    const auto* row = static_cast<const Bfloat16*>(x.at) + begin * x.stride;
    return {reinterpret_cast<const Unit*>(row), x.stride / 2, 1};
  }
  static Right right_rows(Rows x, int64_t n, int64_t d, int64_t begin, int64_t end,
                          float* scratch) {
    const auto row = [&](int64_t i) {
      const bool exists = i >= 0 && i < n && i < end;
      return exists ? static_cast<const Bfloat16*>(x.at) + i * x.stride : nullptr;
    };
    float* unit = scratch;
    for (int64_t i = begin; i < end; i += 2) {
      const Bfloat16 *low = row(i), *high = row(i + 1);
      for (int64_t j = 0; j < padded(d); j += kLanes, unit += kLanes) {
        _mm512_storeu_si512(unit, interleave(halves(low, j, d), halves(high, j, d)));
      }
    }
    return in_rows(scratch, d);
  }
  static Right right_floats(const float* x, int64_t rows, int64_t columns, float* scratch) {
    const int64_t stride = padded(columns);
    float* unit = scratch;
    for (int64_t i = 0; i < rows; i += 2, x += 2 * stride) {
      for (int64_t j = 0; j < stride; j += kLanes, unit += kLanes) {
        const Vector high = i + 1 < rows ? load(x + stride + j) : Vector{};
        _mm512_storeu_si512(unit, pairs(load(x + j), high));
      }
    }
    return in_rows(scratch, columns);
  }
  static Right right_transposed(const float* x, int64_t rows, int64_t columns, float scale,
                                float* scratch) {
    const int64_t stride = padded(columns);
    const Right right = in_panels(scratch, (columns + 1) / 2, rows);
    transpose_units(rows, (columns + 1) / 2, scratch, right, [&](int64_t i, int64_t unit) {
      const float* at = x + i * stride + 2 * unit;
      const Vector low = load(at) * broadcast(scale);
      const bool more = 2 * unit + kLanes < stride;
      const Vector high = more ? load(at + kLanes) * broadcast(scale) : Vector{};
      return (__m512i)_mm512_cvtne2ps_pbh(high, low);
    });
    return right;
  }
  static Left left_floats(const float* x, int64_t rows, int64_t columns, float* scratch) {
    const int64_t count = rows * padded(columns);
    auto* half = reinterpret_cast<uint16_t*>(scratch);
    int64_t i = 0;
    for (; i + 2 * kLanes <= count; i += 2 * kLanes) {
      const auto both = (__m512i)_mm512_cvtne2ps_pbh(load(x + i + kLanes), load(x + i));
      _mm512_storeu_si512(half + i, both);
    }
    if (i < count) {
      _mm256_storeu_si256(reinterpret_cast<__m256i_u*>(half + i), narrow(load(x + i)));
    }
    return {units(scratch), padded(columns) / 2, 1};
  }
  static Left left_transposed(const float* x, int64_t rows, int64_t columns, float* scratch) {
    right_floats(x, rows, columns, scratch);
    return {units(scratch), 1, padded(columns)};
  }
  static Left left_columns(const Right& x, int64_t, int64_t, float*) { return {x.at, 1, x.row}; }

 private:
  LOWRANK_INLINE __m256i halves(const Bfloat16* row, int64_t j, int64_t d) {
    if (row == nullptr || j >= d) return _mm256_setzero_si256();
    if (d - j >= kLanes) return _mm256_loadu_si256(reinterpret_cast<const __m256i_u*>(row + j));
    return _mm256_castsi128_si256(_mm_loadu_si128(reinterpret_cast<const __m128i_u*>(row + j)));
  }
};
#endif
