// SPDX-License-Identifier: Apache-2.0
// B v = softmax(s qm k^T) v: the softmax runs over the keys, which pass once.

// exp(scores - largest) for each column; where a column's largest grew, its sums shrink to fit.
template <class Operands>
static void softmax_columns(float* scores, int64_t rows, int64_t m, int64_t dp,
                            const Compressed& out, Ahead ahead) {
  const int64_t mp = padded(m);
  for (int64_t j = 0; j < mp; j += kLanes) {
    const Vector before = load(out.largest + j);
    Vector largest = before;
    for (int64_t i = 0; i < rows; ++i) largest = larger(largest, load(scores + i * mp + j));
    store(out.largest + j, largest);
    const Vector shrink = exp_of_nonpositive(before - largest);
    Vector sum = load(out.sum + j) * shrink;
    for (int64_t i = 0; i < rows; ++i) {
      if (j == 0) ahead.ask(1);
      const Vector p = Operands::exp_of_difference(load(scores + i * mp + j), largest);
      store(scores + i * mp + j, p);
      sum = sum + p;
    }
    store(out.sum + j, sum);
    for (int64_t lane = 0; lane < kLanes && j + lane < m; ++lane) {
      if (shrink[lane] == 1) continue;
      float* row = out.bv + (j + lane) * dp;
      for (int64_t c = 0; c < dp; c += kLanes) {
        store(row + c, load(row + c) * broadcast(shrink[lane]));
      }
    }
  }
}

template <class Operands>
struct CompressMemory {
  CompressMemory(Arena* arena, int64_t m, int64_t d)
      : tile(tile_rows<Operands>(m)),
        wide(arena->take(tile * padded(d))),
        scores(arena->take(tile * padded(m))),
        transposed(arena->take(transposed_floats<Operands>(tile, m))),
        rows_right(arena->take(tile * padded(d))) {}
  int64_t tile;
  float *wide, *scores, *transposed, *rows_right;
};

template <class Operands>
static void compress(Rows k, Rows v, int64_t n, Chunk chunk, const Packed& right,
                     const Compressed& out, float* means, float* scratch) {
  const typename Operands::Scope scope;
  using Type = typename Operands::Type;
  using Element = typename Operands::Element;
  constexpr int64_t kPack = Operands::kPack;
  const int64_t m = right.r, d = right.d, mp = padded(m), dp = padded(d);
  const PackedParts parts = parts_of<Operands>(right);
  Arena arena(scratch);
  const CompressMemory<Operands> memory(&arena, m, d);
  const int64_t tile = memory.tile;
  float* scores = memory.scores;
  fill(out.largest, mp, -__builtin_inff());
  fill(out.sum, mp, 0);
  fill(out.bv, m * dp, 0);
  for (int64_t begin = chunk.begin; begin < chunk.end; begin += tile) {
    const int64_t end = begin + tile < chunk.end ? begin + tile : chunk.end, rows = end - begin;
    const Left keys = Operands::left_rows(k, begin, end, d, memory.wide);
    multiply<Type>(rows, mp, d / kPack, keys, parts.k_transposed, scores, mp, false);
    softmax_columns<Operands>(
        scores, rows, m, dp, out,
        {{stream_of<Element>(k.at, k.stride, end, d), stream_of<Element>(v.at, v.stride, end, d)}});
    if (means != nullptr) add_to_means<Element>(k, {n, m}, d, begin, end, means);
    const Left columns = Operands::left_transposed(scores, rows, m, memory.transposed);
    multiply<Type>(m, dp, (rows + kPack - 1) / kPack, columns,
                   Operands::right_rows(v, end, d, begin, end, memory.rows_right), out.bv, dp,
                   true);
  }
}

static void combine(const Compressed* chunks, int64_t count, int64_t m, int64_t d) {
  const int64_t dp = padded(d);
  const Compressed& all = chunks[0];
  for (int64_t j = 0; j < m; ++j) {
    float* row = all.bv + j * dp;
    for (int64_t i = 1; i < count; ++i) {
      const float largest =
          chunks[i].largest[j] > all.largest[j] ? chunks[i].largest[j] : all.largest[j];
      const Vector keep = exp_of_nonpositive(broadcast(all.largest[j] - largest));
      const Vector take = exp_of_nonpositive(broadcast(chunks[i].largest[j] - largest));
      all.largest[j] = largest;
      all.sum[j] = all.sum[j] * keep[0] + chunks[i].sum[j] * take[0];
      for (int64_t c = 0; c < dp; c += kLanes) {
        store(row + c, load(row + c) * keep + load(chunks[i].bv + j * dp + c) * take);
      }
    }
    all.sum[j] = 1 / all.sum[j];
    for (int64_t c = 0; c < dp; c += kLanes) {
      store(row + c, load(row + c) * broadcast(all.sum[j]));
    }
  }
}

template <class Operands>
struct CompressBackwardMemory : GradientTileMemory<Operands> {
  CompressBackwardMemory(Arena* arena, int64_t m, int64_t d, int64_t taps)
      : GradientTileMemory<Operands>(arena, m, d), convolution(arena, this->tile, d, taps) {}
  typename ConvolutionTile<Operands>::Memory convolution;
};

template <class Operands>
static void compress_backward(Rows k, Rows v, int64_t n, Chunk chunk, const Packed& right,
                              const Compressed& bv, const float* delta, const float* grad_means,
                              const Convolution& convolution, WritableRows grad_k,
                              WritableRows grad_v, float* grad_q_means, float* scratch) {
  const typename Operands::Scope scope;
  using Type = typename Operands::Type;
  using Element = typename Operands::Element;
  constexpr int64_t kPack = Operands::kPack;
  const int64_t m = right.r, d = right.d, mp = padded(m), dp = padded(d);
  const int64_t depth_m = (m + kPack - 1) / kPack;
  const PackedParts parts = parts_of<Operands>(right);
  Arena arena(scratch);
  const CompressBackwardMemory<Operands> memory(&arena, m, d, convolution.taps);
  const int64_t tile = memory.tile;
  float *scores = memory.scores, *grad_scores = memory.grad_scores, *values = memory.values;
  ConvolutionTile<Operands> convolved(convolution, d, memory.convolution);
  for (int64_t begin = chunk.begin; begin < chunk.end; begin += tile) {
    const int64_t end = begin + tile < chunk.end ? begin + tile : chunk.end, rows = end - begin;
    const Left keys = Operands::left_rows(k, begin, end, d, memory.wide);
    const Left vs = Operands::left_rows(v, begin, end, d, memory.wide_other);
    multiply<Type>(rows, mp, d / kPack, keys, parts.k_transposed, scores, mp, false);
    multiply<Type>(rows, mp, d / kPack, vs, parts.v_transposed, grad_scores, mp, false);
    Ahead ahead = {{stream_of<Element>(k.at, k.stride, end, d),
                    stream_of<Element>(v.at, v.stride, end, d), convolved.stream(end)}};
    for (int64_t j = 0; j < mp; j += kLanes) {
      const Vector largest = load(bv.largest + j), inverse = load(bv.sum + j),
                   d_j = load(delta + j);
      for (int64_t i = 0; i < rows; ++i) {
        if (j == 0) ahead.ask(1);
        float* p = scores + i * mp + j;
        float* g = grad_scores + i * mp + j;
        const Vector probability = Operands::exp_of_difference(load(p), largest) * inverse;
        store(p, probability);
        store(g, probability * (load(g) - d_j));
      }
    }
    // grad_qm += grad_scores^T k
    const Left columns = Operands::left_transposed(grad_scores, rows, m, memory.transposed);
    multiply<Type>(m, dp, (rows + kPack - 1) / kPack, columns,
                   Operands::right_rows(k, end, d, begin, end, memory.rows_right), grad_q_means, dp,
                   true);
    // grad_k = grad_scores qm + the means' share
    spread_means_gradient(grad_means, {n, m}, dp, begin, end, values);
    Left lines = Operands::left_floats(grad_scores, rows, m, grad_scores);
    multiply<Type>(rows, dp, depth_m, lines, parts.k, values, dp, true,
                   {{stream_of<Element>(grad_k.at, grad_k.stride, begin, d)}});
    write_rows<Element>(values, d, begin, end, grad_k);
    // grad_v = B^T grad_bv + the convolution's share
    lines = Operands::left_floats(scores, rows, m, scores);
    multiply<Type>(rows, dp, depth_m, lines, parts.v, values, dp, false,
                   {{stream_of<Element>(grad_v.at, grad_v.stride, begin, d)}});
    convolved.compute(begin, end, values, /*add=*/true);
    write_rows<Element>(values, d, begin, end, grad_v);
  }
}
