// SPDX-License-Identifier: Apache-2.0
// softmax(q k^T) v for few rows of k and v: Linformer's, the landmarks', or a short sequence's.

// Rows that pass together where something is summed over them, a multiple of kBlockRows and even. Few
// landmarks: their scores stay in the first cache. More: enough rows that the sums, [r, d], are not
// read and written too often. Very many: few, for the memory.
template <class Operands>
LOWRANK_INLINE int64_t tile_rows(int64_t r) {
  if (r <= 128) return Operands::kTileRows;
  return r <= 4096 ? 96 : 12;
}

// The same for `attend`, which sums nothing over rows: never more, so that fewer scores leave the cache.
template <class Operands>
LOWRANK_INLINE int64_t attend_rows(int64_t r) {
  const bool few_or_very_many = r <= 128 || r > 4096;
  return few_or_very_many ? tile_rows<Operands>(r) : Operands::kWideTileRows;
}

// The parts of what `pack` writes.
struct PackedParts {
  Right k_transposed, v, k, v_transposed;
};

template <class Operands>
LOWRANK_INLINE int64_t packed_part(int64_t r, int64_t d) {
  return panel_columns(r) * padded(d) / Operands::kPack;
}

template <class Operands>
static int64_t packed_floats(int64_t r, int64_t d, bool backward) {
  return (backward ? 4 : 2) * packed_part<Operands>(r, d);
}

template <class Operands>
LOWRANK_INLINE PackedParts parts_of(const Packed& packed) {
  const int64_t r = packed.r, d = packed.d, size = packed_part<Operands>(r, d);
  const int64_t depth = d / Operands::kPack;
  return {in_panels(packed.at, depth, r), in_rows(packed.at + size, d),
          in_rows(packed.at + 2 * size, d), in_panels(packed.at + 3 * size, depth, r)};
}

template <class Operands>
static void pack(const float* k, const float* v, int64_t r, int64_t d, float scale, bool backward,
                 float* packed) {
  const int64_t size = packed_part<Operands>(r, d);
  Operands::right_transposed(k, r, d, scale, packed);
  if (v == nullptr) return;
  Operands::right_floats(v, r, d, packed + size);
  if (!backward) return;
  float* scaled_k = packed + 2 * size;  // as floats in the room of the last two parts
  for (int64_t i = 0; i < r * padded(d); i += kLanes) {
    store(scaled_k + i, load(k + i) * broadcast(scale));
  }
  Operands::right_floats(scaled_k, r, d, scaled_k);
  Operands::right_transposed(v, r, d, 1, packed + 3 * size);
}

// Lanes behind the r columns of a tile of scores take no part in a softmax.
static void hide_padding(float* scores, int64_t rows, int64_t r) {
  const int64_t columns = padded(r);
  if (columns == r) return;
  for (int64_t i = 0; i < rows; ++i) fill(scores + i * columns + r, columns - r, -__builtin_inff());
}

// exp(scores - the row's largest) in place, and one over its sum for each row.
template <class Operands>
static void softmax_rows(float* scores, int64_t rows, int64_t r, float* inverse_sums,
                         Ahead ahead = {}) {
  const int64_t columns = padded(r);
  hide_padding(scores, rows, r);
  for (int64_t i = 0; i < rows; ++i, scores += columns) {
    ahead.ask(1);
    Vector largest = load(scores);
    for (int64_t j = kLanes; j < columns; j += kLanes) largest = larger(largest, load(scores + j));
    const Vector shift = broadcast(largest_lane(largest));
    Vector sum = {};
    for (int64_t j = 0; j < columns; j += kLanes) {
      const Vector p = Operands::exp_of_difference(load(scores + j), shift);
      store(scores + j, p);
      sum = sum + p;
    }
    inverse_sums[i] = 1 / sum_of_lanes(sum);
  }
}

// From probabilities p [rows, padded(r)] and their gradients, in their place: p * inverse_sums, and
// the scores' gradients p (gradient - sum(p gradient)).
static void softmax_rows_backward(float* p, float* gradient, int64_t rows, int64_t r,
                                  const float* inverse_sums, Ahead ahead) {
  const int64_t columns = padded(r);
  for (int64_t i = 0; i < rows; ++i, p += columns, gradient += columns) {
    ahead.ask(1);
    const Vector inverse = broadcast(inverse_sums[i]);
    Vector sum = {};
    for (int64_t j = 0; j < columns; j += kLanes) {
      const Vector normal = load(p + j) * inverse;
      store(p + j, normal);
      sum = sum + normal * load(gradient + j);
    }
    const Vector delta = broadcast(sum_of_lanes(sum));
    for (int64_t j = 0; j < columns; j += kLanes) {
      store(gradient + j, load(p + j) * (load(gradient + j) - delta));
    }
  }
}

template <class Operands>
struct AttendMemory {
  AttendMemory(Arena* arena, int64_t r, int64_t d, int64_t taps)
      : tile(attend_rows<Operands>(r)),
        wide(arena->take(tile * padded(d))),
        scores(arena->take(tile * padded(r))),
        inverse_sums(arena->take(tile)),
        values(arena->take(tile * padded(d))),
        convolution_values(arena->take(taps == 0 ? 0 : tile * padded(d))),
        convolution(arena, tile, d, taps) {}
  int64_t tile;
  float *wide, *scores, *inverse_sums, *values, *convolution_values;
  typename ConvolutionTile<Operands>::Memory convolution;
};

template <class Operands>
static void attend(Rows q, Chunk chunk, const Packed& right, const Convolution& convolution,
                   WritableRows out, float* scratch) {
  const typename Operands::Scope scope;
  using Type = typename Operands::Type;
  using Element = typename Operands::Element;
  const int64_t r = right.r, d = right.d, rp = padded(r), dp = padded(d);
  const PackedParts parts = parts_of<Operands>(right);
  Arena arena(scratch);
  const AttendMemory<Operands> memory(&arena, r, d, convolution.taps);
  const int64_t tile = memory.tile;
  float *scores = memory.scores, *inverse_sums = memory.inverse_sums, *values = memory.values;
  ConvolutionTile<Operands> convolved(convolution, d, memory.convolution);
  for (int64_t begin = chunk.begin; begin < chunk.end; begin += tile) {
    const int64_t end = begin + tile < chunk.end ? begin + tile : chunk.end, rows = end - begin;
    const Left queries = Operands::left_rows(q, begin, end, d, memory.wide);
    multiply<Type>(rows, rp, d / Operands::kPack, queries, parts.k_transposed, scores, rp, false);
    softmax_rows<Operands>(
        scores, rows, r, inverse_sums,
        {{stream_of<Element>(q.at, q.stride, end, d),
          stream_of<Element>(out.at, out.stride, begin, d), convolved.stream(end)}});
    const Left p = Operands::left_floats(scores, rows, r, scores);
    multiply<Type>(rows, dp, (r + Operands::kPack - 1) / Operands::kPack, p, parts.v, values, dp,
                   false);
    convolved.compute(begin, end, memory.convolution_values);
    for (int64_t i = 0; i < rows; ++i) {
      Element* row = static_cast<Element*>(out.at) + (begin + i) * out.stride;
      const Vector inverse = broadcast(inverse_sums[i]);
      const float *attended = values + i * dp, *more = memory.convolution_values + i * dp;
      for (int64_t j = 0; j < d; j += kLanes) {
        const Vector rest = convolution.taps > 0 ? load(more + j) : Vector{};
        store_values(row + j, load(attended + j) * inverse + rest, d - j);
      }
    }
  }
}

// A tile of a gradient: rows of two sequences as floats, their scores' probabilities and gradients, and
// room for operands and results.
template <class Operands>
struct GradientTileMemory {
  GradientTileMemory(Arena* arena, int64_t r, int64_t d)
      : tile(tile_rows<Operands>(r)),
        wide(arena->take(tile * padded(d))),
        wide_other(arena->take(tile * padded(d))),
        scores(arena->take(tile * padded(r))),
        grad_scores(arena->take(tile * padded(r))),
        transposed(arena->take(transposed_floats<Operands>(tile, r))),
        values(arena->take(tile * padded(d))),
        rows_right(arena->take(tile * padded(d))) {}
  int64_t tile;
  float *wide, *wide_other, *scores, *grad_scores, *transposed, *values, *rows_right;
};

template <class Operands>
struct AttendBackwardMemory : GradientTileMemory<Operands> {
  AttendBackwardMemory(Arena* arena, int64_t r, int64_t d)
      : GradientTileMemory<Operands>(arena, r, d), inverse_sums(arena->take(this->tile)) {}
  float* inverse_sums;
};

template <class Operands>
static void attend_backward(Rows gradient, Rows q, Chunk chunk, const Packed& right,
                            WritableRows grad_q, float* grad_k, float* grad_v, float* scratch) {
  const typename Operands::Scope scope;
  using Type = typename Operands::Type;
  using Element = typename Operands::Element;
  constexpr int64_t kPack = Operands::kPack;
  const int64_t r = right.r, d = right.d, rp = padded(r), dp = padded(d);
  const int64_t depth_r = (r + kPack - 1) / kPack;
  const PackedParts parts = parts_of<Operands>(right);
  Arena arena(scratch);
  const AttendBackwardMemory<Operands> memory(&arena, r, d);
  const int64_t tile = memory.tile;
  float *scores = memory.scores, *grad_scores = memory.grad_scores, *values = memory.values;
  for (int64_t begin = chunk.begin; begin < chunk.end; begin += tile) {
    const int64_t end = begin + tile < chunk.end ? begin + tile : chunk.end, rows = end - begin;
    const int64_t depth_rows = (rows + kPack - 1) / kPack;
    const Left queries = Operands::left_rows(q, begin, end, d, memory.wide);
    const Left gradients = Operands::left_rows(gradient, begin, end, d, memory.wide_other);
    multiply<Type>(rows, rp, d / kPack, queries, parts.k_transposed, scores, rp, false);
    softmax_rows<Operands>(scores, rows, r, memory.inverse_sums,
                           {{stream_of<Element>(q.at, q.stride, end, d),
                             stream_of<Element>(grad_q.at, grad_q.stride, begin, d)}});
    multiply<Type>(rows, rp, d / kPack, gradients, parts.v_transposed, grad_scores, rp, false);
    softmax_rows_backward(scores, grad_scores, rows, r, memory.inverse_sums,
                          {{stream_of<Element>(gradient.at, gradient.stride, end, d)}});
    // grad_v += p^T gradient
    Left columns = Operands::left_transposed(scores, rows, r, memory.transposed);
    multiply<Type>(r, dp, depth_rows, columns,
                   Operands::right_rows(gradient, end, d, begin, end, memory.rows_right), grad_v,
                   dp, true);
    // grad_k += grad_scores^T q
    columns = Operands::left_transposed(grad_scores, rows, r, memory.transposed);
    multiply<Type>(r, dp, depth_rows, columns,
                   Operands::right_rows(q, end, d, begin, end, memory.rows_right), grad_k, dp,
                   true);
    // grad_q = grad_scores k
    const Left lines = Operands::left_floats(grad_scores, rows, r, grad_scores);
    multiply<Type>(rows, dp, depth_r, lines, parts.k, values, dp, false);
    write_rows<Element>(values, d, begin, end, grad_q);
  }
}
