// SPDX-License-Identifier: Apache-2.0
// Products in AMX's tile registers, and operands of them.

// Note [Tiles]
// A tile register holds up to 16 rows of 64 bytes: 16 x 16 floats of C, 16 rows of 16 units of A, or
// 16 units deep and 16 columns of B, which is the order that pairs have for `multiply` anyhow. One
// instruction adds A B to C, 8,192 multiply-adds. Four sums, two tiles of A and two of B fill the
// eight registers: each operand that is loaded serves two products.
//
// The registers' shape is the thread's state. Scope sets it, for a kernel's duration, to the full
// size; a product whose rows or depth are no multiple of 16 changes it for its ends, so that no tile
// reaches beyond its operand.
constexpr int64_t kTile = 16;

struct TileUnit {};

class TileShape {
 public:
  // Rows of the upper tiles of A and C, of the lower ones, and units of depth.
  void set(int64_t upper, int64_t lower, int64_t units) {
    if (upper == upper_ && lower == lower_ && units == units_) return;
    upper_ = upper, lower_ = lower, units_ = units;
    load();
  }
  ~TileShape() { set(kTile, kTile, kTile); }

 private:
  friend class TileScope;
  struct Configuration {  // as the processor reads it
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t row_bytes[16] = {};
    uint8_t rows[16] = {};
  };
  void load() const {
    Configuration all;
    const auto shape = [&](int tile, int64_t rows, int64_t units) {
      all.rows[tile] = static_cast<uint8_t>(rows);
      all.row_bytes[tile] = static_cast<uint16_t>(units * 4);
    };
    for (const int tile : {0, 1}) shape(tile, upper_, kTile);
    for (const int tile : {2, 3}) shape(tile, lower_, kTile);
    shape(4, upper_, units_);
    shape(5, lower_, units_);
    for (const int tile : {6, 7}) shape(tile, units_, kTile);
    __asm__ volatile("ldtilecfg %0" : : "m"(all));
  }
  int64_t upper_ = kTile, lower_ = kTile, units_ = kTile;
};

// Gives the registers back at its end: a thread that holds none is switched faster, and LibTorch's
// own products set their shape anew.
class TileScope {
 public:
  TileScope() { TileShape().load(); }
  ~TileScope() { _tile_release(); }
  TileScope(const TileScope&) = delete;
  TileScope& operator=(const TileScope&) = delete;
};

// One or two tiles each way: c (+)= a b over `steps` tiles of depth.
template <int kRows, int kColumns>
LOWRANK_INLINE void tile_block(int64_t steps, Left a, const Unit* b, int64_t ldb, float* c,
                               int64_t ldc, bool add) {
  const int64_t a_row = a.row * 4, b_row = ldb * 4, c_row = ldc * 4;
  float* lower = c + kTile * ldc;
  if (add) {
    _tile_loadd(0, c, c_row);
    if (kColumns > 1) _tile_loadd(1, c + kTile, c_row);
    if (kRows > 1) _tile_loadd(2, lower, c_row);
    if (kRows > 1 && kColumns > 1) _tile_loadd(3, lower + kTile, c_row);
  } else {
    _tile_zero(0);
    _tile_zero(1);
    _tile_zero(2);
    _tile_zero(3);
  }
  const Unit* column = a.at;
  for (int64_t step = 0; step < steps; ++step) {
    _tile_loadd(6, b, b_row);
    _tile_loadd(4, column, a_row);
    _tile_dpbf16ps(0, 4, 6);
    if (kColumns > 1) {
      _tile_loadd(7, b + kTile, b_row);
      _tile_dpbf16ps(1, 4, 7);
    }
    if (kRows > 1) {
      _tile_loadd(5, column + kTile * a.row, a_row);
      _tile_dpbf16ps(2, 5, 6);
      if (kColumns > 1) _tile_dpbf16ps(3, 5, 7);
    }
    column += kTile;
    b += kTile * ldb;
  }
  _tile_stored(0, c, c_row);
  if (kColumns > 1) _tile_stored(1, c + kTile, c_row);
  if (kRows > 1) _tile_stored(2, lower, c_row);
  if (kRows > 1 && kColumns > 1) _tile_stored(3, lower + kTile, c_row);
}

template <int kRows>
LOWRANK_INLINE void tile_blocks(int64_t columns, int64_t k, int64_t steps, Left a, const Right& b,
                                float* c, int64_t ldc, bool add) {
  int64_t j = 0;
  for (; j + 2 * kTile <= columns; j += 2 * kTile) {
    tile_block<kRows, 2>(steps, a, b.from(k, j), b.row, c + j, ldc, add);
  }
  if (j < columns) tile_block<kRows, 1>(steps, a, b.from(k, j), b.row, c + j, ldc, add);
}

// A's units lie side by side (step 1).
template <>
void multiply<TileUnit>(int64_t rows, int64_t columns, int64_t depth, Left a, Right b, float* c,
                        int64_t ldc, bool add, Ahead ahead) {
  // The compiler does not know what memory the tiles' loads read.
  __asm__ volatile("" : : : "memory");
  TileShape shape;
  for (int64_t k = 0; k < depth;) {
    const int64_t whole = (depth - k) / kTile, units = whole > 0 ? kTile : depth - k;
    const int64_t steps = whole > 0 ? whole : 1;
    for (int64_t i = 0; i < rows; i += 2 * kTile) {
      const int64_t upper = rows - i < kTile ? rows - i : kTile, lower = rows - i - upper;
      const Left part = {a.at + i * a.row + k, a.row, 1};
      const bool sum = add || k > 0;
      ahead.ask(2 * kTile);
      if (lower > 0) {
        shape.set(upper, lower < kTile ? lower : kTile, units);
        tile_blocks<2>(columns, k, steps, part, b, c + i * ldc, ldc, sum);
      } else {
        shape.set(upper, kTile, units);
        tile_blocks<1>(columns, k, steps, part, b, c + i * ldc, ldc, sum);
      }
    }
    ahead = {};
    k += steps * units;
  }
}

// Bfloat16, products of tiles. Right operands are those of pairs; a left one has its units side by
// side.
struct TileOperands : PairOperands {
  using Type = TileUnit;
  using Scope = TileScope;
  static constexpr int64_t kBandRows = 2 * kTile, kTileRows = 64, kWideTileRows = 32;

  static Left left_transposed(const float* x, int64_t rows, int64_t columns, float* scratch) {
    const int64_t stride = padded(columns), depth = (rows + 1) / 2;
    transpose_units(depth, columns, scratch, in_rows(scratch, depth), [&](int64_t unit, int64_t j) {
      const float* at = x + 2 * unit * stride + j;
      return pairs(load(at), 2 * unit + 1 < rows ? load(at + stride) : Vector{});
    });
    return {units(scratch), padded(depth), 1};
  }
  static Left left_columns(const Right& x, int64_t depth, int64_t columns, float* scratch) {
    transpose_units(depth, columns, scratch, in_rows(scratch, depth),
                    [&](int64_t unit, int64_t j) { return _mm512_loadu_si512(x.from(unit, j)); });
    return {units(scratch), padded(depth), 1};
  }
  // 16 rows of x [n, .] from `begin`, as the columns of [row_units, 16]; zeros where x has no row.
  static Right right_transposed_rows(Rows x, int64_t n, int64_t begin, int64_t row_units,
                                     float* scratch) {
    const Right right = in_rows(scratch, kTile);
    transpose_units(kTile, row_units, scratch, right, [&](int64_t i, int64_t unit) {
      if (begin + i < 0 || begin + i >= n) return _mm512_setzero_si512();
      const auto* row = static_cast<const Bfloat16*>(x.at);
      const int64_t left = row_units - unit;
      const auto mask = static_cast<__mmask16>(left >= kTile ? 0xFFFF : (1 << left) - 1);
      return _mm512_maskz_loadu_epi32(mask, row + (begin + i) * x.stride + 2 * unit);
    });
    return right;
  }
};
