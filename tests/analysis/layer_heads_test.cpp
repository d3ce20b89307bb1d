// SPDX-License-Identifier: Apache-2.0
#include "lowrank/analysis/layer_heads.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "lowrank/ops/reference.h"
#include "tests/support/attention_kinds.h"
#include "tests/support/small_model.h"

namespace lowrank::analysis {
namespace {

using lowrank::testing::one_sequence;
using lowrank::testing::small_config;
using lowrank::testing::small_model;

// Two ways to sum a few dozen float64 numbers of order 1 differ by less.
constexpr double kRounding = 1e-12;

double max_error(const at::Tensor& a, const at::Tensor& b) {
  return (a - b).abs().max().item<double>();
}

at::Tensor in_rows(const at::Tensor& x) { return x.transpose(0, 1).contiguous(); }

class EveryKind : public ::testing::TestWithParam<testing::NamedKind> {};

INSTANTIATE_TEST_SUITE_P(LayerHeads, EveryKind, ::testing::ValuesIn(testing::attention_kinds()),
                         testing::kind_name<::testing::TestParamInfo<testing::NamedKind>>);

TEST_P(EveryKind, ShowsTheQueriesKeysAndValuesOfEachLayer) {
  const auto model = small_model(small_config(GetParam().kind));
  const models::Inputs sequence = one_sequence(19);
  const std::vector<at::Tensor> states = model->hidden_states(sequence);
  int64_t layers = 0;
  visit_heads(*model, sequence, [&](const LayerHeads& heads) {
    const std::string name = "layers." + std::to_string(heads.layer);
    const auto parameters = model->named_parameters();
    const at::Tensor x =
        at::layer_norm(states[static_cast<size_t>(heads.layer)], {12},
                       parameters[name + ".norm1.weight"], parameters[name + ".norm1.bias"]);
    const auto project = [&](const std::string& which) {
      return at::linear(x, parameters[name + ".attention." + which + ".weight"],
                        parameters[name + ".attention." + which + ".bias"])
          .view({19, 3, 4});
    };
    EXPECT_EQ(heads.layer, layers++);
    EXPECT_LE(max_error(in_rows(heads.q), project("query")), kRounding);
    EXPECT_LE(max_error(in_rows(heads.k), project("key")), kRounding);
    EXPECT_LE(max_error(in_rows(heads.v), project("value")), kRounding);
    EXPECT_DOUBLE_EQ(heads.scale, 0.5);
    const at::Tensor expected = reference::exact_attention(project("query"), project("key"),
                                                           project("value"), sequence.offsets);
    EXPECT_LE(max_error(in_rows(heads.exact()), expected), kRounding);
  });
  EXPECT_EQ(layers, 2);
}

TEST(LayerHeads, TakeTheScaleOfTheirKind) {
  const auto model = small_model(small_config(NystromOptions{.landmarks = 4, .scale = 0.25}));
  visit_heads(*model, one_sequence(9),
              [](const LayerHeads& heads) { EXPECT_EQ(heads.scale, 0.25); });
}

// What transformers' padding adds is no token of the text.
TEST(LayerHeads, HaveNoRowsOfPaddings) {
  models::ModelConfig config = small_config(NystromOptions{.landmarks = 4});
  config.compat = {.profile = Profile::kHuggingFace, .segment_length = 32};
  const auto model = small_model(config);
  visit_heads(*model, one_sequence(9),
              [](const LayerHeads& heads) { EXPECT_EQ(heads.q.size(1), 9); });
}

}  // namespace
}  // namespace lowrank::analysis
