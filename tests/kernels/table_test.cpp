// SPDX-License-Identifier: Apache-2.0
#include "lowrank/kernels/cpu/table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <random>
#include <vector>

// Each kernel of each level that this machine has, against sums in double. The ops' tests do the
// rest: what is tested here is that levels agree and that strides, chunks and padding are kept.
namespace lowrank::kernels {
namespace {

using Doubles = std::vector<double>;

struct Setting {
  CpuLevel level;
  Element element;
};

std::vector<Setting> settings() {
  std::vector<Setting> all;
  for (const CpuLevel level : kCpuLevels) {
    if (level > detected_cpu_level()) continue;
    for (const Element element : {Element::kFloat, Element::kBfloat16}) {
      all.push_back({level, element});
    }
  }
  return all;
}

// n rows of d elements, `stride` apart, with NaN between them.
class Memory {
 public:
  Memory(Element element, int64_t n, int64_t d, int64_t stride, unsigned seed)
      : element_(element), d_(d), stride_(stride) {
    std::mt19937 generator(seed);
    std::normal_distribution<float> normal;
    bytes_.resize(static_cast<size_t>(n * stride) * size());
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = 0; j < stride; ++j) set(i, j, j < d ? normal(generator) : std::nanf(""));
    }
  }

  Rows rows() const { return {bytes_.data(), stride_}; }
  WritableRows writable() { return {bytes_.data(), stride_}; }

  double at(int64_t i, int64_t j) const {
    uint32_t bits = 0;
    const char* from = &bytes_[static_cast<size_t>(i * stride_ + j) * size()];
    std::memcpy(reinterpret_cast<char*>(&bits) + (sizeof(float) - size()), from, size());
    float value = 0;
    std::memcpy(&value, &bits, sizeof(float));
    return value;
  }

  bool gaps_untouched(int64_t n) const {
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t j = d_; j < stride_; ++j) {
        if (!std::isnan(at(i, j))) return false;
      }
    }
    return true;
  }

 private:
  size_t size() const { return element_ == Element::kFloat ? 4 : 2; }
  void set(int64_t i, int64_t j, float value) {
    char bits[sizeof(float)];
    std::memcpy(bits, &value, sizeof(float));
    std::memcpy(&bytes_[static_cast<size_t>(i * stride_ + j) * size()],
                bits + (sizeof(float) - size()), size());
  }

  Element element_;
  int64_t d_, stride_;
  std::vector<char> bytes_;
};

std::vector<float> padded_normal(int64_t rows, int64_t d, unsigned seed) {
  std::mt19937 generator(seed);
  std::normal_distribution<float> normal;
  std::vector<float> x(static_cast<size_t>(rows * padded(d)), 0.0F);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < d; ++j) x[static_cast<size_t>(i * padded(d) + j)] = normal(generator);
  }
  return x;
}

double cell(const std::vector<float>& x, int64_t i, int64_t j, int64_t d) {
  return x[static_cast<size_t>(i * padded(d) + j)];
}

// Products of bfloat16 operands are rounded to eight bits, those of floats to twenty-four.
double tolerance(const Setting& setting) {
  return setting.element == Element::kFloat ? 2e-5 : 4e-2;
}

class Kernels : public ::testing::TestWithParam<Setting> {
 protected:
  const Setting setting_ = GetParam();
  const Table& table_ = table(setting_.level, setting_.element);
  static constexpr int64_t n = 131, d = 24, stride = 50, r = 19, taps = 7;
  static constexpr float scale = 0.2F;

  std::vector<float> scratch(int64_t columns = r) const {
    const int64_t floats = table_.scratch_floats(columns, d, taps, true);
    return std::vector<float>(static_cast<size_t>(floats), NAN);
  }
  std::vector<float> project_scratch(int64_t rows) const {
    const int64_t floats = table_.project_scratch_floats(rows, d, 2, true);
    return std::vector<float>(static_cast<size_t>(floats), NAN);
  }
  std::vector<float> packed(const std::vector<float>& k, const float* v,
                            int64_t columns = r) const {
    std::vector<float> memory(static_cast<size_t>(table_.packed_floats(columns, d, false)), NAN);
    table_.pack(k.data(), v, columns, d, scale, false, memory.data());
    return memory;
  }
};

TEST_P(Kernels, AttendIsSoftmaxTimesValuesPlusConvolution) {
  const Memory q(setting_.element, n, d, stride, 1), x(setting_.element, n, d, stride, 2);
  const std::vector<float> filter = {0.5F, -0.25F, 1, 0.75F, -1, 0.25F, 0.125F};
  const Convolution convolution{x.rows(), n, filter.data(), taps};
  for (const int64_t columns : {r, int64_t{150}}) {  // few and many have tiles of other sizes
    Memory out(setting_.element, n, d, stride, 3);
    const std::vector<float> k = padded_normal(columns, d, 4), v = padded_normal(columns, d, 5);
    const std::vector<float> right = packed(k, v.data(), columns);
    std::vector<float> memory = scratch(columns);
    for (const Chunk chunk : {Chunk{0, 100}, Chunk{100, n}}) {
      table_.attend(q.rows(), chunk, {columns, d, right.data()}, convolution, out.writable(),
                    memory.data());
    }
    for (int64_t i = 0; i < n; ++i) {
      Doubles p;
      double sum = 0;
      for (int64_t j = 0; j < columns; ++j) {
        double score = 0;
        for (int64_t c = 0; c < d; ++c) score += q.at(i, c) * scale * cell(k, j, c, d);
        p.push_back(std::exp(score));
        sum += p.back();
      }
      for (int64_t c = 0; c < d; ++c) {
        double expected = 0;
        for (int64_t j = 0; j < columns; ++j) {
          expected += p[static_cast<size_t>(j)] / sum * cell(v, j, c, d);
        }
        for (int64_t t = 0; t < taps; ++t) {
          const int64_t row = i + t - taps / 2;
          if (row >= 0 && row < n) expected += filter[static_cast<size_t>(t)] * x.at(row, c);
        }
        ASSERT_NEAR(out.at(i, c), expected, tolerance(setting_)) << columns << " " << i << " " << c;
      }
    }
    EXPECT_TRUE(out.gaps_untouched(n));
  }
}

TEST_P(Kernels, CompressedChunksCombineToSoftmaxOverAllKeys) {
  const Memory k(setting_.element, n, d, stride, 1), v(setting_.element, n, d, stride, 2);
  const std::vector<float> qm = padded_normal(r, d, 3);
  const std::vector<float> right = packed(qm, nullptr);
  std::vector<float> memory = scratch();
  const int64_t rp = padded(r), size = 2 * rp + r * padded(d);
  std::vector<float> states(static_cast<size_t>(2 * size), NAN);
  std::vector<Compressed> parts;
  std::vector<float> means(static_cast<size_t>(r * padded(d)), NAN), alone(means);
  for (int64_t i = 0; i < 2; ++i) {
    float* at = states.data() + i * size;
    parts.push_back({at, at + rp, at + 2 * rp});
    // The landmarks of k come along, with the bits that they have alone.
    table_.compress(k.rows(), v.rows(), n, i == 0 ? Chunk{0, 77} : Chunk{77, n},
                    {r, d, right.data()}, parts.back(), means.data(), memory.data());
  }
  table_.combine(parts.data(), 2, r, d);
  table_.means(k.rows(), {n, r}, d, alone.data());
  EXPECT_EQ(means, alone);
  for (int64_t j = 0; j < r; ++j) {
    Doubles p;
    double sum = 0;
    for (int64_t i = 0; i < n; ++i) {
      double score = 0;
      for (int64_t c = 0; c < d; ++c) score += scale * cell(qm, j, c, d) * k.at(i, c);
      p.push_back(std::exp(score));
      sum += p.back();
    }
    EXPECT_NEAR(std::log(sum), parts[0].largest[j] - std::log(parts[0].sum[j]),
                tolerance(setting_));
    for (int64_t c = 0; c < d; ++c) {
      double expected = 0;
      for (int64_t i = 0; i < n; ++i) expected += p[static_cast<size_t>(i)] / sum * v.at(i, c);
      ASSERT_NEAR(parts[0].bv[j * padded(d) + c], expected, tolerance(setting_)) << j << " " << c;
    }
  }
}

TEST_P(Kernels, ProjectSumsOverTheRowsOfItsChunks) {
  const Memory e(setting_.element, r, n, n + 3, 1);
  const Memory x[] = {{setting_.element, n, d, stride, 2}, {setting_.element, n, d, stride, 3}};
  const Rows heads[] = {x[0].rows(), x[1].rows()};
  const int64_t size = r * padded(d);
  std::vector<float> y(static_cast<size_t>(2 * size), 0.0F), memory = project_scratch(r);
  for (const Chunk chunk : {Chunk{0, 65}, Chunk{65, n}}) {
    table_.project(e.rows(), r, heads, 2, d, chunk, y.data(), memory.data());
  }
  for (int64_t h = 0; h < 2; ++h) {
    const std::vector<float> of_head(y.begin() + h * size, y.begin() + (h + 1) * size);
    for (int64_t i = 0; i < r; ++i) {
      for (int64_t c = 0; c < d; ++c) {
        double expected = 0;
        for (int64_t j = 0; j < n; ++j) expected += e.at(i, j) * x[h].at(j, c);
        ASSERT_NEAR(cell(of_head, i, c, d), expected, 20 * tolerance(setting_)) << i << " " << c;
      }
    }
  }
}

TEST_P(Kernels, ProjectBackwardIsTheTransposeTimesTheGradient) {
  for (const int64_t rows : {int64_t{3}, r}) {
    const Memory e(setting_.element, rows, n, n + 3, 1);
    Memory got[] = {{setting_.element, n, d, stride, 2}, {setting_.element, n, d, stride, 3}};
    const WritableRows heads[] = {got[0].writable(), got[1].writable()};
    const std::vector<float> gradient = padded_normal(2 * rows, d, 3);  // of one head and the other
    std::vector<float> memory = project_scratch(rows);
    for (const Chunk chunk : {Chunk{0, 64}, Chunk{64, 71}, Chunk{71, n}}) {
      table_.project_backward(e.rows(), rows, gradient.data(), 2, d, chunk, heads, memory.data());
    }
    for (int64_t h = 0; h < 2; ++h) {
      for (int64_t i = 0; i < n; ++i) {
        for (int64_t c = 0; c < d; ++c) {
          double expected = 0;
          for (int64_t j = 0; j < rows; ++j) {
            expected += e.at(j, i) * cell(gradient, h * rows + j, c, d);
          }
          ASSERT_NEAR(got[h].at(i, c), expected, 2 * tolerance(setting_)) << rows << " " << i;
        }
      }
      EXPECT_TRUE(got[h].gaps_untouched(n));
    }
  }
}

TEST_P(Kernels, TheFilterGradientSumsOverRowsAndColumnsOfItsChunks) {
  const Memory gradient(setting_.element, n, d, stride, 1), x(setting_.element, n, d, stride, 2);
  for (const int64_t width : {1, 7, 33, 50}) {
    std::vector<float> got(static_cast<size_t>(width), 0.0F), filter(got);
    std::vector<float> memory(static_cast<size_t>(table_.scratch_floats(r, d, width, true)), NAN);
    const Convolution convolution{x.rows(), n, filter.data(), width};
    for (const Chunk chunk : {Chunk{0, 90}, Chunk{90, n}}) {
      table_.filter_gradient(gradient.rows(), convolution, d, chunk, got.data(), memory.data());
    }
    for (int64_t t = 0; t < width; ++t) {
      double expected = 0;
      for (int64_t i = 0; i < n; ++i) {
        const int64_t row = i + t - width / 2;
        if (row < 0 || row >= n) continue;
        for (int64_t c = 0; c < d; ++c) expected += gradient.at(i, c) * x.at(row, c);
      }
      // Both elements are exact here: their products are not rounded.
      ASSERT_NEAR(got[static_cast<size_t>(t)], expected, 1e-3) << t << " of " << width;
    }
  }
}

TEST_P(Kernels, MeansAreThoseOfConsecutiveSegments) {
  const Memory x(setting_.element, n, d, stride, 1);
  std::vector<float> means(static_cast<size_t>(r * padded(d)), NAN);
  table_.means(x.rows(), {n, r}, d, means.data());
  int64_t row = 0;
  for (int64_t segment = 0; segment < r; ++segment) {
    const int64_t length = n / r + (segment < n % r ? 1 : 0);
    for (int64_t c = 0; c < padded(d); ++c) {
      double expected = 0;
      for (int64_t i = 0; c < d && i < length; ++i)
        expected += x.at(row + i, c) / static_cast<double>(length);
      ASSERT_NEAR(cell(means, segment, c, d), expected, 1e-6) << segment << " " << c;
    }
    row += length;
  }
  EXPECT_EQ(row, n);
}

// Memory whose end is watched.
class Guarded {
 public:
  explicit Guarded(int64_t floats)
      : size_(static_cast<size_t>(floats)), at_(size_ + kGuard, 0.5F) {}
  float* data() { return at_.data(); }
  bool kept() const {
    for (size_t i = size_; i < at_.size(); ++i) {
      if (at_[i] != 0.5F) return false;
    }
    return true;
  }

 private:
  static constexpr size_t kGuard = 1024;
  size_t size_;
  std::vector<float> at_;
};

TEST_P(Kernels, KeepToTheMemoryThatTheyAskFor) {
  constexpr int64_t rows = 205;
  constexpr Chunk all{0, rows};
  for (const int64_t size : {8, 24, 64, 72, 256}) {
    const Memory x(setting_.element, rows, size, size, 1),
        e(setting_.element, 300, rows, rows + 1, 2);
    Memory y(setting_.element, rows, size, size, 3), z(setting_.element, rows, size, size, 4);
    for (const int64_t m : {1, 5, 16, 64, 100, 300}) {
      for (const int64_t heads : {1, 3}) {
        const std::vector<Rows> from(3, x.rows());
        const std::vector<WritableRows> to(3, y.writable());
        Guarded forward(table_.project_scratch_floats(m, size, heads, false));
        Guarded memory(table_.project_scratch_floats(m, size, heads, true));
        Guarded sums(heads * m * padded(size)), grad_e(m * padded(rows));
        table_.project(e.rows(), m, from.data(), heads, size, all, sums.data(), forward.data());
        table_.project_backward(e.rows(), m, sums.data(), heads, size, all, to.data(),
                                memory.data());
        table_.projection_gradient(sums.data(), m, x.rows(), size, all, grad_e.data(), padded(rows),
                                   memory.data());
        for (const Guarded* guarded : {&forward, &memory, &grad_e, &sums}) {
          ASSERT_TRUE(guarded->kept()) << "d " << size << ", r " << m << ", heads " << heads;
        }
      }
      for (const int64_t width : {0, 1, 33}) {
        const std::vector<float> k = padded_normal(m, size, 5), filter(33, 0.1F);
        const int64_t wide = m * padded(size);
        Guarded right(table_.packed_floats(m, size, true)), state(2 * padded(m) + wide);
        Guarded forward(table_.scratch_floats(m, size, width, false));
        Guarded memory(table_.scratch_floats(m, size, width, true)), sum(wide), other(wide);
        Guarded delta(padded(m)), taps_sum(33);
        Guarded long_rows(rows * padded(size));
        table_.pack(k.data(), k.data(), m, size, scale, true, right.data());
        Guarded forward_right(table_.packed_floats(m, size, false));
        Guarded landmarks(table_.packed_floats(m, size, false) / 2);
        table_.pack(k.data(), k.data(), m, size, scale, false, forward_right.data());
        table_.pack(k.data(), nullptr, m, size, scale, false, landmarks.data());
        const Packed packed{m, size, right.data()};
        const Convolution convolution{x.rows(), rows, filter.data(), width};
        const Compressed bv{state.data(), state.data() + padded(m), state.data() + 2 * padded(m)};
        table_.attend(x.rows(), all, packed, convolution, y.writable(), forward.data());
        table_.attend_backward(x.rows(), x.rows(), all, packed, y.writable(), sum.data(),
                               other.data(), memory.data());
        table_.compress(x.rows(), x.rows(), rows, all, packed, bv, nullptr, forward.data());
        table_.combine(&bv, 1, m, size);
        if (m <= rows) {
          table_.means(x.rows(), {rows, m}, size, sum.data());
          table_.compress(x.rows(), x.rows(), rows, all, packed, bv, sum.data(), forward.data());
          table_.compress_backward(x.rows(), x.rows(), rows, all, packed, bv, delta.data(),
                                   k.data(), convolution, y.writable(), z.writable(), other.data(),
                                   memory.data());
        }
        table_.filter_gradient(x.rows(), convolution, size, all, taps_sum.data(), memory.data());
        table_.widen(x.rows(), rows, size, long_rows.data());
        table_.narrow(long_rows.data(), rows, size, convolution, y.writable(), forward.data());
        for (const Guarded* guarded : {&right, &forward_right, &landmarks, &state, &forward,
                                       &memory, &sum, &other, &delta, &taps_sum, &long_rows}) {
          ASSERT_TRUE(guarded->kept()) << "d " << size << ", r " << m << ", taps " << width;
        }
      }
    }
  }
}

TEST_P(Kernels, TheInverseKeepsToTheMemoryThatItAsksFor) {
  for (const int64_t m : {1, 5, 16, 40, 100}) {
    const std::vector<float> qm = padded_normal(m, d, 1), km = padded_normal(m, d, 2);
    const int64_t square = m * padded(m);
    Guarded forward(table_.inverse_scratch_floats(m, d, false)), a(square), z(7 * square);
    Guarded memory(table_.inverse_scratch_floats(m, d, true)), grad_a(square);
    Guarded grad_qm(m * padded(d)), grad_km(m * padded(d));
    table_.landmark_probabilities(qm.data(), km.data(), m, d, scale, a.data(), forward.data());
    table_.inverse(a.data(), m, 6, true, z.data(), forward.data());
    table_.inverse_backward(a.data(), z.data(), m, 6, a.data(), grad_a.data(), memory.data());
    table_.landmark_probabilities_backward(a.data(), grad_a.data(), qm.data(), km.data(), m, d,
                                           scale, grad_qm.data(), grad_km.data());
    for (const Guarded* guarded : {&forward, &memory, &a, &z, &grad_a, &grad_qm, &grad_km}) {
      ASSERT_TRUE(guarded->kept()) << m;
    }
  }
}

std::string setting_name(const ::testing::TestParamInfo<Setting>& setting) {
  return std::string(name(setting.param.level)) +
         (setting.param.element == Element::kFloat ? "_float" : "_bfloat16");
}

INSTANTIATE_TEST_SUITE_P(All, Kernels, ::testing::ValuesIn(settings()), setting_name);

TEST(Levels, TheOthersAreSkippedOnThisMachine) {
  std::string missing;
  for (const CpuLevel level : kCpuLevels) {
    if (level > detected_cpu_level()) missing += std::string(" ") + name(level);
  }
  if (!missing.empty()) GTEST_SKIP() << "this machine has no" << missing;
}

}  // namespace
}  // namespace lowrank::kernels
