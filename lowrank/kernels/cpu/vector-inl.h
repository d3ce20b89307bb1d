// SPDX-License-Identifier: Apache-2.0
// Included once by each file of one CPU level, inside its unnamed namespace: see table.h.

// As many floats as the level's registers hold, with the operators of the compiler's vector type.
#if defined(__AVX512F__)
constexpr int kLanes = 16;
constexpr int kMaxVectors = 4;  // of one row of a block product
#elif defined(__AVX2__)
constexpr int kLanes = 8;
constexpr int kMaxVectors = 2;
#else
constexpr int kLanes = 4;
constexpr int kMaxVectors = 2;
#endif

typedef float Vector __attribute__((vector_size(4 * kLanes)));
typedef float UnalignedVector __attribute__((vector_size(4 * kLanes), aligned(4), may_alias));
typedef int32_t IntVector __attribute__((vector_size(4 * kLanes)));
typedef float FloatAlias __attribute__((may_alias));
typedef int32_t PairAlias __attribute__((may_alias, aligned(2)));  // two of two bytes

#define LOWRANK_INLINE static inline __attribute__((always_inline))

LOWRANK_INLINE Vector broadcast(float x) {
#if defined(__AVX512F__)
  return _mm512_set1_ps(x);
#elif defined(__AVX2__)
  return _mm256_set1_ps(x);
#else
  return Vector{x, x, x, x};
#endif
}

LOWRANK_INLINE Vector load(const float* x) { return *reinterpret_cast<const UnalignedVector*>(x); }

LOWRANK_INLINE void store(float* x, Vector value) {
  *reinterpret_cast<UnalignedVector*>(x) = value;
}

// The first `count` lanes, zeros behind them.
LOWRANK_INLINE Vector load_first(const float* x, int64_t count) {
  if (count >= kLanes) return load(x);
  Vector value = {};
  for (int64_t i = 0; i < count; ++i) value[i] = x[i];
  return value;
}

LOWRANK_INLINE void store_first(float* x, Vector value, int64_t count) {
  if (count >= kLanes) return store(x, value);
  for (int64_t i = 0; i < count; ++i) x[i] = value[i];
}

// The larger of each pair of lanes; NaN in `b` stays.
LOWRANK_INLINE Vector larger(Vector a, Vector b) {
#if defined(__AVX512F__)
  return _mm512_max_ps(a, b);
#elif defined(__AVX2__)
  return _mm256_max_ps(a, b);
#elif defined(__SSE__)
  return _mm_max_ps(a, b);
#else
  return a > b ? a : b;
#endif
}

LOWRANK_INLINE float sum_of_lanes(Vector x) {
#if defined(__AVX512F__)
  return _mm512_reduce_add_ps(x);
#else
  float sum = x[0];
  for (int i = 1; i < kLanes; ++i) sum += x[i];
  return sum;
#endif
}

LOWRANK_INLINE float largest_lane(Vector x) {
#if defined(__AVX512F__)
  return _mm512_reduce_max_ps(x);
#else
  float largest = x[0];
  for (int i = 1; i < kLanes; ++i) largest = x[i] > largest ? x[i] : largest;
  return largest;
#endif
}

// exp(x) for x <= 0, within two units in the last place down to exp(-87), about 1e-38 below that.
// x = k ln 2 + f with |f| <= ln 2 / 2; e^f by its Taylor polynomial with the coefficients of the
// best uniform fit, 2^k by its bits. NaN stays NaN.
LOWRANK_INLINE Vector exp_of_nonpositive(Vector x) {
  const Vector lowest = broadcast(-87.3F), round = broadcast(12582912.0F);  // 1.5 * 2^23
  x = larger(lowest, x);
  const Vector shifted = x * broadcast(1.44269504F) + round;
  const Vector k = shifted - round;
  Vector f = x - k * broadcast(0.693145752F);
  f = f - k * broadcast(1.42860677e-6F);
  Vector p = broadcast(1.38145401e-3F);
  p = p * f + broadcast(8.36874521e-3F);
  p = p * f + broadcast(4.16683908e-2F);
  p = p * f + broadcast(1.66665204e-1F);
  p = p * f + broadcast(4.99999934e-1F);
  p = p * f + broadcast(1.0F);
  p = p * f + broadcast(1.0F);
  const IntVector scale = ((IntVector)shifted << 23) + 0x3F800000;
  return p * (Vector)scale;
}

// exp(x - y) for x <= y, within 8e-5 relative: enough where it is rounded to bfloat16, and two thirds
// of the work. 2^f with |f| <= 1/2 by the best cubic, 2^k by its bits, down to 2^-126. NaN stays NaN.
LOWRANK_INLINE Vector rough_exp_of_difference(Vector x, Vector y) {
  const Vector lowest = broadcast(-126), round = broadcast(12582912.0F);  // 1.5 * 2^23
  const Vector log2e = broadcast(1.44269504F);
  const Vector t = larger(lowest, x * log2e - y * log2e);
  const Vector shifted = t + round;
  const Vector f = t - (shifted - round);
  Vector p = broadcast(0.0551713231F) * f + broadcast(0.242611331F);
  p = p * f + broadcast(0.693261089F);
  p = p * f + broadcast(0.999928047F);
  return (Vector)((IntVector)p + ((IntVector)shifted << 23));
}
