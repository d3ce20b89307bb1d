// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include <cmath>
#include <sstream>
#include <string>
#include <vector>

// The one list of problems that the tests of the attention ops, and their benchmarks, run over.
namespace lowrank::testing {

struct AttentionCase {
  std::vector<int64_t> lengths;  // of the sequences of the batch
  int64_t h, d;
  int64_t m;  // landmarks of Nystrom, projected rows of Linformer
  at::ScalarType dtype = at::kFloat;

  int64_t total() const {
    int64_t sum = 0;
    for (const int64_t n : lengths) sum += n;
    return sum;
  }
  int64_t longest() const {
    int64_t longest = 1;
    for (const int64_t n : lengths) longest = std::max(longest, n);
    return longest;
  }
  at::Tensor offsets() const {
    at::Tensor offsets = at::zeros({static_cast<int64_t>(lengths.size()) + 1}, at::kLong);
    for (size_t i = 0; i < lengths.size(); ++i) {
      const int64_t at = static_cast<int64_t>(i);
      offsets[at + 1] = offsets[at].item<int64_t>() + lengths[i];
    }
    return offsets;
  }

  // Normal numbers of any sizes, the same for the same seed whatever the dtype.
  at::Tensor normal(uint64_t seed, at::IntArrayRef sizes) const {
    auto generator = at::make_generator<at::CPUGeneratorImpl>(seed);
    return at::randn(sizes, generator, at::TensorOptions(at::kDouble)).to(dtype);
  }
  at::Tensor random(uint64_t seed) const { return normal(seed, {total(), h, d}); }
  // E or F for the longest sequence, with the scale that keeps the scores' size.
  at::Tensor projection(uint64_t seed, bool per_head = false) const {
    const double scale = 1 / std::sqrt(static_cast<double>(longest()));
    const at::Tensor e = per_head ? normal(seed, {h, m, longest()}) : normal(seed, {m, longest()});
    return e * scale;
  }
  at::Tensor filter(uint64_t seed, int64_t taps) const { return normal(seed, {h, taps}) / taps; }
};

inline std::vector<AttentionCase> attention_shapes() {
  return {
      {{1}, 1, 1, 1},                // smallest
      {{48, 31}, 3, 20, 16},         // nothing is a power of two
      {{33}, 2, 33, 33},             // m == n, odd head size
      {{34}, 1, 8, 33},              // one token more than landmarks: segments of 2 and 1
      {{7, 0, 90, 5, 1}, 2, 16, 6},  // shorter than m, empty, and one token between longer ones
      {{0, 0}, 2, 4, 3},             // nothing but empty sequences
      {{}, 2, 4, 3},                 // no sequences
      {{200, 130}, 4, 64, 64},       // BERT-base head
      {{61, 150}, 2, 72, 90},        // more than a block of columns, and not a multiple of 16
  };
}

inline std::vector<AttentionCase> attention_cases() {
  std::vector<AttentionCase> cases;
  for (const auto dtype : {at::kFloat, at::kDouble, at::kBFloat16, at::kHalf}) {
    for (AttentionCase c : attention_shapes()) {
      c.dtype = dtype;
      cases.push_back(c);
    }
  }
  return cases;
}

// "float_48_31_h3_d20_m16"
inline std::string case_name(const ::testing::TestParamInfo<AttentionCase>& info) {
  const AttentionCase& c = info.param;
  std::ostringstream name;
  name << c10::toString(c.dtype);
  for (const int64_t n : c.lengths) name << '_' << n;
  name << "_h" << c.h << "_d" << c.d << "_m" << c.m;
  return name.str();
}

}  // namespace lowrank::testing
