// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lowrank/io/safetensors.h"
#include "tests/support/oracle.h"

// Inputs, outputs and gradients that were recorded elsewhere, in the folder golden of
// LOWRANK_SHARED.
namespace lowrank::testing {

using GoldenJson = nlohmann::json;
using Tensors = std::map<std::string, at::Tensor>;

inline std::filesystem::path golden_folder() {
  const char* shared = std::getenv("LOWRANK_SHARED");
  return std::filesystem::path(shared == nullptr ? "" : shared) / "golden";
}

// The cases of a profile that record an operator or a module; none where there is no recorded data.
inline std::vector<GoldenJson> golden_cases(const std::string& profile) {
  std::ifstream index(golden_folder() / "index.json");
  std::vector<GoldenJson> cases;
  if (!index) return cases;
  const GoldenJson all = GoldenJson::parse(index).at("cases");
  for (const GoldenJson& test_case : all) {
    if (test_case.at("profile") != profile || test_case.at("stage") == "models") continue;
    cases.push_back(test_case);
  }
  return cases;
}

// The recorded checkpoints: each with a "dir", and "runs" in its file.
inline std::vector<GoldenJson> golden_models() {
  std::ifstream index(golden_folder() / "index.json");
  std::vector<GoldenJson> cases;
  if (!index) return cases;
  const GoldenJson all = GoldenJson::parse(index).at("cases");
  for (const GoldenJson& test_case : all) {
    if (test_case.contains("runs")) cases.push_back(test_case);
  }
  return cases;
}

// To be called at the beginning of a test that needs golden_cases.
#define LOWRANK_NEEDS_GOLDEN()                                                   \
  if (!std::filesystem::exists(testing::golden_folder() / "index.json")) {       \
    GTEST_SKIP() << "no recorded data: LOWRANK_SHARED has no golden/index.json"; \
  }

inline Tensors golden_tensors(const GoldenJson& test_case) {
  const auto stored =
      io::load_safetensors(golden_folder() / test_case.at("file").get<std::string>());
  return {stored.begin(), stored.end()};
}

// The recording's own rule: 8 times the deviation of float32 from float64, and 1e-5 at least, of the
// largest value; in float64 1e-10 for outputs and 1e-6 for gradients, which are stored in float32.
// fairseq's softmax is in float32 always.
inline double golden_tolerance(const GoldenJson& test_case, const std::string& name,
                               at::ScalarType dtype) {
  if (dtype == at::kDouble) {
    return name == "out" && test_case.at("profile") != "fairseq" ? 1e-10 : 1e-6;
  }
  const GoldenJson& deviation = test_case.at("fp32_deviation");
  if (!deviation.contains(name)) return 1e-5;
  return std::max(1e-5, 8 * deviation.at(name).at("rel_to_max").get<double>());
}

// Computes a case's `out` from its tensors, which are leaves of `dtype`; may put others, such as a
// module's parameters, in the place of those whose gradient is asked for.
using GoldenFunction = std::function<at::Tensor(const GoldenJson& options, Tensors& tensors)>;

// Compares the output and every recorded gradient.
inline void expect_golden(const GoldenJson& test_case, at::ScalarType dtype,
                          const GoldenFunction& function) {
  const Tensors recorded = golden_tensors(test_case);
  Tensors tensors;
  for (const auto& [name, tensor] : recorded) {
    tensors[name] = tensor.is_floating_point() ? tensor.to(dtype).requires_grad_() : tensor;
  }
  const auto expect_close = [&](const std::string& name, const at::Tensor& got) {
    const at::Tensor& expected = recorded.at(name);
    // What is zero exactly (the gradient of a softmax over one key) has no scale of its own: then
    // it may be off by the rounding of inputs of order one.
    const double rounding = dtype == at::kDouble ? 0x1p-52 : 0x1p-23;
    const double limit = largest(expected) > 0
                             ? golden_tolerance(test_case, name, dtype) * largest(expected)
                             : 64 * rounding;
    EXPECT_EQ(got.sizes(), expected.sizes()) << test_case.at("id") << " " << name;
    EXPECT_TRUE(max_error(got, expected) <= limit)
        << test_case.at("id") << " " << name << " in " << dtype << ": error "
        << max_error(got, expected) << ", at most " << limit;
  };
  const at::Tensor out = function(test_case.at("options"), tensors);
  expect_close("out", out.detach());

  std::vector<at::Tensor> leaves;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : recorded) {
    if (name.rfind("grad.", 0) != 0) continue;
    names.push_back(name);
    leaves.push_back(tensors.at(name.substr(5)));
  }
  if (names.empty()) return;
  const std::vector<at::Tensor> gradients =
      torch::autograd::grad({out}, leaves, {tensors.at("w").detach()});
  for (size_t i = 0; i < names.size(); ++i) expect_close(names[i], gradients[i]);
}

}  // namespace lowrank::testing
