// SPDX-License-Identifier: Apache-2.0
// C = A B or C += A B for matrices that fit the caches: what all kernels are made of.

// Note [Units]
// Products read their operands in units of four bytes along the summed dimension: one float, or two
// neighbouring bfloat16. A float's unit multiplies and adds; a pair's unit is one dot product of
// two, where the level has that instruction. The code is the same for both.
using Unit = uint32_t;

struct FloatUnit {
  LOWRANK_INLINE Vector read(const Unit* x) { return load(reinterpret_cast<const float*>(x)); }
  LOWRANK_INLINE Vector repeat(const Unit* x) {
    return broadcast(*reinterpret_cast<const FloatAlias*>(x));
  }
  LOWRANK_INLINE Vector multiply_add(Vector a, Vector b, Vector sum) { return a * b + sum; }
};

#if defined(__AVX512BF16__)
struct PairUnit {
  LOWRANK_INLINE __m512i read(const Unit* x) { return _mm512_loadu_si512(x); }
  LOWRANK_INLINE __m512i repeat(const Unit* x) {
    return _mm512_set1_epi32(*reinterpret_cast<const PairAlias*>(x));
  }
  LOWRANK_INLINE Vector multiply_add(__m512i a, __m512i b, Vector sum) {
    return _mm512_dpbf16_ps(sum, (__m512bh)a, (__m512bh)b);
  }
};
#endif

// A's element (i, k) is the unit at[i * row + k * step].
struct Left {
  const Unit* at;
  int64_t row, step;
};

// Six rows of four vectors: 24 sums, which hide the latency of the multiply-add and leave registers
// for a row of B and one element of A.
constexpr int kBlockRows = 6;
constexpr int64_t kBlockColumns = kMaxVectors * kLanes;
// A block of B, kBlockDepth x kBlockColumns units, stays in the second cache while A's rows pass: each of
// its registers serves six rows, which leaves the time to fetch it from there, and longer sums are
// written and read again less often than those of a block for the first cache.
constexpr int64_t kBlockDepth = 256;

// B's unit (k, j). Its columns lie in panels of kBlockColumns, or all in one row: where rows are long,
// those of a block of columns would share few places of the first cache.
struct Right {
  const Unit* at;
  int64_t row, panel;

  // Units from (k, j) on.
  const Unit* from(int64_t k, int64_t j) const {
    return at + j / kBlockColumns * panel + k * row + j % kBlockColumns;
  }
};

// Inlined: called, it takes a sixth longer over a depth of 64.
template <class Type, int kRows, int kVectors>
LOWRANK_INLINE void block_product(int64_t depth, Left a, const Unit* b, int64_t ldb, float* c,
                                  int64_t ldc, bool add) {
  Vector sum[kRows][kVectors] = {};
  const Unit* column = a.at;
  for (int64_t k = 0; k < depth; ++k) {
    decltype(Type::read(b)) right[kVectors];
    for (int j = 0; j < kVectors; ++j) right[j] = Type::read(b + j * kLanes);
    for (int i = 0; i < kRows; ++i) {
      const auto left = Type::repeat(column + i * a.row);
      for (int j = 0; j < kVectors; ++j) {
        sum[i][j] = Type::multiply_add(left, right[j], sum[i][j]);
      }
    }
    column += a.step;
    b += ldb;
  }
  for (int i = 0; i < kRows; ++i, c += ldc) {
    for (int j = 0; j < kVectors; ++j) {
      float* at = c + j * kLanes;
      store(at, add ? load(at) + sum[i][j] : sum[i][j]);
    }
  }
}

// Rows of memory that will be wanted soon. A head's rows lie far apart, where the processor does not
// foresee them, so that work on what is in the caches asks for some of them now and then: a softmax for
// one of each stream with each of its rows, a product for a few before each of its blocks. Many at once
// would keep it waiting.
struct Stream {
  const char* at;
  int64_t stride, bytes;  // of a row
};
struct Ahead {
  Stream streams[3] = {};

  void ask(int64_t rows) {
    for (Stream& stream : streams) {
      if (stream.at == nullptr) continue;
      for (int64_t i = 0; i < rows; ++i, stream.at += stream.stride) {
        for (int64_t j = 0; j < stream.bytes; j += 64) __builtin_prefetch(stream.at + j, 0, 2);
      }
    }
  }
};

template <class Type, int kVectors>
static void row_blocks(int64_t rows, int64_t depth, Left a, const Unit* b, int64_t ldb, float* c,
                       int64_t ldc, bool add, Ahead ahead) {
  for (; rows >= kBlockRows; rows -= kBlockRows) {
    ahead.ask(kBlockRows);
    block_product<Type, kBlockRows, kVectors>(depth, a, b, ldb, c, ldc, add);
    a.at += kBlockRows * a.row;
    c += kBlockRows * ldc;
  }
  switch (rows) {
    case 5:
      return block_product<Type, 5, kVectors>(depth, a, b, ldb, c, ldc, add);
    case 4:
      return block_product<Type, 4, kVectors>(depth, a, b, ldb, c, ldc, add);
    case 3:
      return block_product<Type, 3, kVectors>(depth, a, b, ldb, c, ldc, add);
    case 2:
      return block_product<Type, 2, kVectors>(depth, a, b, ldb, c, ldc, add);
    case 1:
      return block_product<Type, 1, kVectors>(depth, a, b, ldb, c, ldc, add);
    default:
      return;
  }
}

// c [rows, columns] = (c +) a [rows, depth] b [depth, columns]. Columns are a multiple of
// kPaddedColumns, depth counts units. Sums run along the depth in its order, whatever the rest.
template <class Type>
static void multiply(int64_t rows, int64_t columns, int64_t depth, Left a, Right b, float* c,
                     int64_t ldc, bool add, Ahead ahead = {}) {
  for (int64_t j = 0; j < columns; j += kBlockColumns) {
    const int64_t vectors = (columns - j < kBlockColumns ? columns - j : kBlockColumns) / kLanes;
    for (int64_t k = 0; k < depth; k += kBlockDepth) {
      const int64_t count = depth - k < kBlockDepth ? depth - k : kBlockDepth;
      const Left part = {a.at + k * a.step, a.row, a.step};
      const Unit* right = b.from(k, j);
      const bool sum = add || k > 0;
      switch (vectors) {
#if defined(__AVX512F__)
        case 4:
          row_blocks<Type, 4>(rows, count, part, right, b.row, c + j, ldc, sum, ahead);
          break;
        case 3:
          row_blocks<Type, 3>(rows, count, part, right, b.row, c + j, ldc, sum, ahead);
          break;
#endif
        case 2:
          row_blocks<Type, 2>(rows, count, part, right, b.row, c + j, ldc, sum, ahead);
          break;
        default:
          row_blocks<Type, 1>(rows, count, part, right, b.row, c + j, ldc, sum, ahead);
          break;
      }
      ahead = {};
    }
  }
}
