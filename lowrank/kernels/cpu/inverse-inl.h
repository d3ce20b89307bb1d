// SPDX-License-Identifier: Apache-2.0
// The m x m matrices of Nystrom attention: A and its iterated inverse, in float throughout.

// c (+)= a b for padded float matrices.
static void multiply_floats(int64_t rows, int64_t columns, int64_t depth, const float* a,
                            bool transposed, const float* b, bool add, float* c) {
  const Left left = transposed ? Left{units(a), 1, padded(rows)} : Left{units(a), padded(depth), 1};
  multiply<FloatUnit>(rows, padded(columns), depth, left, in_rows(b, columns), c, padded(columns),
                      add);
}

static void transpose(const float* x, int64_t rows, int64_t columns, float* out) {
  FloatOperands<float>::transpose(x, rows, columns, 1, out, in_rows(out, rows));
}

struct LandmarkProbabilitiesMemory {
  LandmarkProbabilitiesMemory(Arena* arena, int64_t m, int64_t d)
      : km_transposed(arena->take(d * panel_columns(m))), inverse_sums(arena->take(m)) {}
  float *km_transposed, *inverse_sums;
};

static void landmark_probabilities(const float* qm, const float* km, int64_t m, int64_t d,
                                   float scale, float* a, float* scratch) {
  const int64_t mp = padded(m);
  Arena arena(scratch);
  const LandmarkProbabilitiesMemory memory(&arena, m, d);
  const Right right = FloatOperands<float>::right_transposed(km, m, d, scale, memory.km_transposed);
  multiply<FloatUnit>(m, mp, d, {units(qm), padded(d), 1}, right, a, mp, false);
  softmax_rows<FloatOperands<float>>(a, m, m, memory.inverse_sums);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < m; ++j) a[i * mp + j] *= memory.inverse_sums[i];
    fill(a + i * mp + m, mp - m, 0);
  }
}

static void landmark_probabilities_backward(const float* a, float* grad_a, const float* qm,
                                            const float* km, int64_t m, int64_t d, float scale,
                                            float* grad_qm, float* grad_km) {
  const int64_t mp = padded(m);
  for (int64_t i = 0; i < m; ++i) {
    float delta = 0;
    for (int64_t j = 0; j < m; ++j) delta += a[i * mp + j] * grad_a[i * mp + j];
    for (int64_t j = 0; j < m; ++j) {
      grad_a[i * mp + j] = scale * a[i * mp + j] * (grad_a[i * mp + j] - delta);
    }
  }
  multiply_floats(m, d, m, grad_a, false, km, true, grad_qm);
  multiply_floats(m, d, m, grad_a, true, qm, true, grad_km);
}

// |A|_1 and |A|_inf and where they are reached; a zero matrix has 1, so that Z_0 is zero too.
struct Norms {
  float one, infinity;
  int64_t column, row;
};

static Norms norms_of(const float* a, int64_t m, float* column_sums) {
  const int64_t mp = padded(m);
  Norms norms = {0, 0, 0, 0};
  fill(column_sums, mp, 0);
  for (int64_t i = 0; i < m; ++i) {
    float row_sum = 0;
    for (int64_t j = 0; j < m; ++j) {
      const float magnitude = __builtin_fabsf(a[i * mp + j]);
      column_sums[j] += magnitude;
      row_sum += magnitude;
    }
    if (!(row_sum <= norms.infinity)) norms.infinity = row_sum, norms.row = i;
  }
  for (int64_t j = 0; j < m; ++j) {
    if (!(column_sums[j] <= norms.one)) norms.one = column_sums[j], norms.column = j;
  }
  if (norms.one == 0) norms.one = norms.infinity = 1;
  return norms;
}

// x = value I - x
static void subtract_from_identity(float value, int64_t m, float* x) {
  const int64_t mp = padded(m);
  for (int64_t i = 0; i < m * mp; i += kLanes) store(x + i, -load(x + i));
  for (int64_t i = 0; i < m; ++i) x[i * mp + i] += value;
}

static void scale_by(float factor, int64_t count, float* x) {
  for (int64_t i = 0; i < count; i += kLanes) store(x + i, load(x + i) * broadcast(factor));
}

static void negate(int64_t count, float* x) {
  for (int64_t i = 0; i < count; i += kLanes) store(x + i, -load(x + i));
}

// Note [Steps of the inverse]
// One step is Z' = 1/4 Z R with X = A Z, P = 7 I - X, Q = 15 I - X P, R = 13 I - X Q. Its gradient
// is the chain rule through R, Q, P, X in turn; X, P, Q, R are computed again from the kept Z.
struct Step {
  Step(Arena* arena, int64_t size)
      : x(arena->take(size)), p(arena->take(size)), q(arena->take(size)), r(arena->take(size)) {}
  float *x, *p, *q, *r;
};

static void compute_step(const float* a, const float* z, int64_t m, const Step& s) {
  const int64_t size = m * padded(m);
  multiply_floats(m, m, m, a, false, z, false, s.x);
  for (int64_t i = 0; i < size; i += kLanes) store(s.p + i, load(s.x + i));
  subtract_from_identity(7, m, s.p);
  multiply_floats(m, m, m, s.x, false, s.p, false, s.q);
  subtract_from_identity(15, m, s.q);
  multiply_floats(m, m, m, s.x, false, s.q, false, s.r);
  subtract_from_identity(13, m, s.r);
}

struct InverseMemory {
  InverseMemory(Arena* arena, int64_t m)
      : step(arena, m * padded(m)), other(arena->take(m * padded(m))) {}
  Step step;
  float* other;
};

static void inverse(const float* a, int64_t m, int64_t steps, bool keep, float* z, float* scratch) {
  const int64_t size = m * padded(m);
  Arena arena(scratch);
  const InverseMemory memory(&arena, m);
  const Step& step = memory.step;
  float* other = memory.other;
  const Norms norms = norms_of(a, m, step.x);
  float* now = keep || steps % 2 == 0 ? z : other;
  transpose(a, m, m, now);
  scale_by(1 / (norms.one * norms.infinity), size, now);
  for (int64_t i = 0; i < steps; ++i) {
    float* next = keep ? now + size : now == z ? other : z;
    compute_step(a, now, m, step);
    multiply_floats(m, m, m, now, false, step.r, false, next);
    scale_by(0.25F, size, next);
    now = next;
  }
}

struct InverseBackwardMemory {
  InverseBackwardMemory(Arena* arena, int64_t m)
      : step(arena, m * padded(m)),
        grad_z(arena->take(m * padded(m))),
        next_grad_z(arena->take(m * padded(m))),
        grad_x(arena->take(m * padded(m))),
        grad_q(arena->take(m * padded(m))),
        grad_r(arena->take(m * padded(m))),
        transposed(arena->take(m * padded(m))) {}
  Step step;
  float *grad_z, *next_grad_z, *grad_x, *grad_q, *grad_r, *transposed;
};

static void inverse_backward(const float* a, const float* z, int64_t m, int64_t steps,
                             const float* gradient, float* grad_a, float* scratch) {
  const int64_t mp = padded(m), size = m * mp;
  Arena arena(scratch);
  const InverseBackwardMemory memory(&arena, m);
  const Step& s = memory.step;
  float *grad_z = memory.grad_z, *next_grad_z = memory.next_grad_z;
  float *grad_x = memory.grad_x, *grad_q = memory.grad_q, *grad_r = memory.grad_r;
  const auto times_transpose = [&](const float* x, const float* y, bool add, float* c) {
    transpose(y, m, m, memory.transposed);
    multiply_floats(m, m, m, x, false, memory.transposed, add, c);
  };
  for (int64_t i = 0; i < size; i += kLanes) store(grad_z + i, load(gradient + i));
  fill(grad_a, size, 0);
  for (int64_t i = steps - 1; i >= 0; --i) {
    const float* z_i = z + i * size;
    compute_step(a, z_i, m, s);
    multiply_floats(m, m, m, z_i, true, grad_z, false, grad_r);
    scale_by(0.25F, size, grad_r);
    multiply_floats(m, m, m, s.x, true, grad_r, false, grad_q);
    negate(size, grad_q);
    // grad_x = -(grad_r Q^T + grad_q P^T) + X^T grad_q
    times_transpose(grad_r, s.q, false, grad_x);
    times_transpose(grad_q, s.p, true, grad_x);
    negate(size, grad_x);
    multiply_floats(m, m, m, s.x, true, grad_q, true, grad_x);
    // grad_z = 1/4 grad_z R^T + A^T grad_x
    times_transpose(grad_z, s.r, false, next_grad_z);
    scale_by(0.25F, size, next_grad_z);
    multiply_floats(m, m, m, a, true, grad_x, true, next_grad_z);
    times_transpose(grad_x, z_i, true, grad_a);
    float* swap = grad_z;
    grad_z = next_grad_z;
    next_grad_z = swap;
  }
  // Z_0 = A^T c with c = 1 / (|A|_1 |A|_inf); each norm is the sum of one column or row of |A|.
  const Norms norms = norms_of(a, m, s.x);
  const float c = 1 / (norms.one * norms.infinity);
  float grad_log_c = 0;
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < m; ++j) {
      grad_a[i * mp + j] += grad_z[j * mp + i] * c;
      grad_log_c += grad_z[j * mp + i] * c * a[i * mp + j];
    }
  }
  const auto sign = [](float x) { return x > 0 ? 1.0F : x < 0 ? -1.0F : 0.0F; };
  for (int64_t i = 0; i < m; ++i) {
    float* in_column = grad_a + i * mp + norms.column;
    float* in_row = grad_a + norms.row * mp + i;
    *in_column -= grad_log_c / norms.one * sign(a[i * mp + norms.column]);
    *in_row -= grad_log_c / norms.infinity * sign(a[norms.row * mp + i]);
  }
}
