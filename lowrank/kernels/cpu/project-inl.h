// SPDX-License-Identifier: Apache-2.0
// E x along the sequence, Linformer's compression, and its two gradients.

// Rows of x, columns of e, that pass together.
template <class Operands>
constexpr int64_t kProjectRows = 128 * Operands::kPack;

template <class Element>
LOWRANK_INLINE Rows columns_from(Rows e, int64_t begin) {
  return {static_cast<const Element*>(e.at) + begin, e.stride};
}

// Columns begin to end of e [r, .] as floats [r, kProjectRows].
template <class Operands>
static void widen_columns(Rows e, int64_t r, int64_t begin, int64_t end, float* wide) {
  using Element = typename Operands::Element;
  for (int64_t i = 0; i < r; ++i) {
    const Element* row = static_cast<const Element*>(e.at) + i * e.stride + begin;
    float* out = wide + i * kProjectRows<Operands>;
    for (int64_t j = 0; j < kProjectRows<Operands>; j += kLanes) {
      store(out + j, j < end - begin ? load_values(row + j, end - begin - j) : Vector{});
    }
  }
}

// Columns begin to end of e [r, .] on the left of a product that sums over them: where they lie, if
// they are whole pairs. Floats are copied: their rows would share few places of the caches.
template <class Operands>
static Left left_columns(Rows e, int64_t r, int64_t begin, int64_t end, float* wide) {
  using Element = typename Operands::Element;
  if (Operands::kPack > 1 && (end - begin) % Operands::kPack == 0 &&
      e.stride % Operands::kPack == 0) {
    return Operands::left_rows(columns_from<Element>(e, begin), 0, r, end - begin, wide);
  }
  widen_columns<Operands>(e, r, begin, end, wide);
  return Operands::left_floats(wide, r, kProjectRows<Operands>, wide);
}

// The same on the left of a product that sums over e's rows.
template <class Operands>
static Left left_transposed_columns(Rows e, int64_t r, int64_t begin, int64_t end, float* wide,
                                    float* transposed) {
  using Element = typename Operands::Element;
  const int64_t count = end - begin;
  if (Operands::kPack == 1 || count % 8 == 0) {
    const Right rows = Operands::right_rows(columns_from<Element>(e, begin), r, count, 0, r, wide);
    return Operands::left_columns(rows, (r + Operands::kPack - 1) / Operands::kPack, count,
                                  transposed);
  }
  widen_columns<Operands>(e, r, begin, end, wide);
  return Operands::left_transposed(wide, r, kProjectRows<Operands>, transposed);
}

// Note [Heads together]
// The heads of a sequence share e: each part of it, read once and once made an operand, serves them all
// while it is in the caches.

template <class Operands>
struct ProjectMemory {
  ProjectMemory(Arena* arena, int64_t r, int64_t d)
      : wide(arena->take(r * kProjectRows<Operands>)),
        rows_right(arena->take(kProjectRows<Operands> / Operands::kPack * padded(d))) {}
  float *wide, *rows_right;
};

template <class Operands>
static void project(Rows e, int64_t r, const Rows* x, int64_t heads, int64_t d, Chunk chunk,
                    float* y, float* scratch) {
  const typename Operands::Scope scope;
  using Type = typename Operands::Type;
  using Element = typename Operands::Element;
  const int64_t dp = padded(d);
  Arena arena(scratch);
  const ProjectMemory<Operands> memory(&arena, r, d);
  for (int64_t begin = chunk.begin; begin < chunk.end; begin += kProjectRows<Operands>) {
    const int64_t end =
        begin + kProjectRows<Operands> < chunk.end ? begin + kProjectRows<Operands> : chunk.end;
    const int64_t depth = (end - begin + Operands::kPack - 1) / Operands::kPack;
    const Left left = left_columns<Operands>(e, r, begin, end, memory.wide);
    const Stream next_of_e =
        stream_of<Element>(columns_from<Element>(e, end).at, e.stride, 0, kProjectRows<Operands>);
    for (int64_t h = 0; h < heads; ++h) {
      const bool last = h + 1 == heads;
      const Rows next = last ? x[0] : x[h + 1];
      const Stream next_of_x = stream_of<Element>(next.at, next.stride, last ? end : begin, d);
      const Right right = Operands::right_rows(x[h], end, d, begin, end, memory.rows_right);
      multiply<Type>(r, dp, depth, left, right, y + h * r * dp, dp, true,
                     {{next_of_x, last ? next_of_e : Stream{}}});
    }
  }
}

template <class Operands>
struct ProjectBackwardMemory {
  ProjectBackwardMemory(Arena* arena, int64_t r, int64_t d, int64_t heads)
      : depth((r + Operands::kPack - 1) / Operands::kPack),
        wide(arena->take(r * kProjectRows<Operands>)),
        transposed(arena->take(transposed_floats<Operands>(r, kProjectRows<Operands>))),
        values(arena->take(kProjectRows<Operands> * padded(d))),
        rights(arena->take(heads * depth * padded(d))) {}
  int64_t depth;  // of the product, in units
  float *wide, *transposed, *values, *rights;
};

template <class Operands>
static void project_backward(Rows e, int64_t r, const float* grad_y, int64_t heads, int64_t d,
                             Chunk chunk, const WritableRows* grad_x, float* scratch) {
  const typename Operands::Scope scope;
  using Type = typename Operands::Type;
  using Element = typename Operands::Element;
  const int64_t dp = padded(d);
  Arena arena(scratch);
  const ProjectBackwardMemory<Operands> memory(&arena, r, d, heads);
  const int64_t depth = memory.depth;
  for (int64_t h = 0; h < heads; ++h) {
    Operands::right_floats(grad_y + h * r * dp, r, d, memory.rights + h * depth * dp);
  }
  for (int64_t begin = chunk.begin; begin < chunk.end; begin += kProjectRows<Operands>) {
    const int64_t end =
        begin + kProjectRows<Operands> < chunk.end ? begin + kProjectRows<Operands> : chunk.end;
    const Left left =
        left_transposed_columns<Operands>(e, r, begin, end, memory.wide, memory.transposed);
    for (int64_t h = 0; h < heads; ++h) {
      multiply<Type>(end - begin, dp, depth, left, in_rows(memory.rights + h * depth * dp, d),
                     memory.values, dp, false,
                     {{stream_of<Element>(grad_x[h].at, grad_x[h].stride, begin, d)}});
      write_rows<Element>(memory.values, d, begin, end, grad_x[h]);
    }
  }
}

template <class Operands>
struct ProjectionGradientMemory {
  ProjectionGradientMemory(Arena* arena, int64_t r, int64_t d)
      : left_rows(arena->take(r * padded(d))),
        wide(arena->take(kProjectRows<Operands> * padded(d))),
        transposed(arena->take(kProjectRows<Operands> * padded(d))) {}
  float *left_rows, *wide, *transposed;
};

template <class Operands>
static void projection_gradient(const float* grad_y, int64_t r, Rows x, int64_t d, Chunk chunk,
                                float* grad_e, int64_t stride, float* scratch) {
  const typename Operands::Scope scope;
  using Type = typename Operands::Type;
  using Element = typename Operands::Element;
  Arena arena(scratch);
  const ProjectionGradientMemory<Operands> memory(&arena, r, d);
  const Left left = Operands::left_floats(grad_y, r, d, memory.left_rows);
  for (int64_t begin = chunk.begin; begin < chunk.end; begin += kProjectRows<Operands>) {
    const int64_t end =
        begin + kProjectRows<Operands> < chunk.end ? begin + kProjectRows<Operands> : chunk.end;
    widen_rows<Element>(x, end, d, begin, end, memory.wide);
    const Right right =
        Operands::right_transposed(memory.wide, end - begin, d, 1, memory.transposed);
    multiply<Type>(r, padded(end - begin), d / Operands::kPack, left, right,
                   grad_e + begin - chunk.begin, stride, true);
  }
}
