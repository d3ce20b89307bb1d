// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "lowrank/io/safetensors.h"
#include "lowrank/ops/exact.h"
#include "lowrank/ops/linformer.h"
#include "lowrank/ops/nystrom.h"
#include "tests/support/oracle.h"

// Recorded outputs and gradients of the papers' formulas in float64.
namespace lowrank {
namespace {

using at::Tensor;
using Json = nlohmann::json;
using Tensors = std::map<std::string, Tensor>;

std::filesystem::path golden_folder() {
  const char* shared = std::getenv("LOWRANK_SHARED");
  return std::filesystem::path(shared == nullptr ? "" : shared) / "golden";
}

// Why a case computes something else than this library promises; empty: it does not.
std::string difference(const Json& options) {
  const bool holes = options.at("mask") == "random";
  if (options.value("policy", "") == "positional") {
    return "segments of positions depend on the padding";
  }
  if (options.contains("iters") && options.at("iters") == "exact") {
    return "it uses an exact inverse, these ops the iterated one";
  }
  if (holes && options.at("op") == "linformer") return "E's columns count the holes of the mask";
  if (holes && options.contains("conv") && !options.at("conv").is_null()) {
    return "the convolution reaches across the holes of the mask";
  }
  return "";
}

Tensor run(const Json& options, const Tensors& t) {
  const auto find = [&](const char* name) { return t.count(name) ? t.at(name) : Tensor(); };
  const Tensor &q = t.at("q"), &k = t.at("k"), &v = t.at("v"), mask = find("mask");
  if (options.at("op") == "exact") return padded_exact_attention(q, k, v, mask);
  if (options.at("op") == "linformer") {
    return padded_linformer_attention(q, k, v, t.at("E"), find("F"), mask);
  }
  const Tensor filter = find("conv");
  const NystromOptions nystrom{.landmarks = options.at("m"),
                               .inverse_steps = options.at("iters"),
                               .conv = filter.defined() ? filter.size(1) : 0};
  return padded_nystrom_attention(q, k, v, mask, nystrom, filter);
}

// The recording's own rule: 8 times the deviation of float32 from float64, and 1e-5 at least, of the
// largest value; in float64 1e-10 for outputs and 1e-6 for gradients, which are stored in float32.
double tolerance(const Json& test_case, const std::string& name, at::ScalarType dtype) {
  if (dtype == at::kDouble) return name == "out" ? 1e-10 : 1e-6;
  return std::max(1e-5, 8 * test_case.at("fp32_deviation").at(name).at("rel_to_max").get<double>());
}

void compare(const Json& test_case, at::ScalarType dtype) {
  Tensors recorded, inputs;
  for (const auto& [name, tensor] :
       io::load_safetensors(golden_folder() / test_case.at("file").get<std::string>())) {
    recorded[name] = tensor;
    inputs[name] = tensor.scalar_type() == at::kBool
                       ? tensor
                       : tensor.to(dtype).requires_grad_(recorded.count(name) > 0);
  }
  const Tensor out = run(test_case.at("options"), inputs);
  std::vector<Tensor> leaves;
  std::vector<std::string> names;
  for (const auto& [name, tensor] : recorded) {
    if (name.rfind("grad.", 0) != 0) continue;
    names.push_back(name);
    leaves.push_back(inputs.at(name.substr(5)));
  }
  const std::vector<Tensor> gradients =
      torch::autograd::grad({out}, leaves, {inputs.at("w").detach()});
  const auto expect_close = [&](const std::string& name, const Tensor& got) {
    const Tensor& expected = recorded.at(name);
    const double limit = tolerance(test_case, name, dtype) * (testing::largest(expected) + 1e-30);
    EXPECT_TRUE(testing::max_error(got, expected) <= limit)
        << test_case.at("id") << " " << name << " in " << dtype << ": error "
        << testing::max_error(got, expected) << ", at most " << limit;
  };
  expect_close("out", out.detach());
  for (size_t i = 0; i < names.size(); ++i) expect_close(names[i], gradients[i]);
}

TEST(Golden, TheRecordedFormulasAgreeInFloat64AndFloat32) {
  std::ifstream index(golden_folder() / "index.json");
  if (!index) GTEST_SKIP() << "no recorded data: LOWRANK_SHARED has no golden/index.json";
  int compared = 0;
  for (const Json& test_case : Json::parse(index).at("cases")) {
    if (test_case.at("profile") != "math") continue;
    const std::string reason = difference(test_case.at("options"));
    if (!reason.empty()) {
      std::printf("not compared: %s: %s\n", test_case.at("id").get<std::string>().c_str(),
                  reason.c_str());
      continue;
    }
    compare(test_case, at::kDouble);
    compare(test_case, at::kFloat);
    ++compared;
  }
  EXPECT_GE(compared, 20);
}

}  // namespace
}  // namespace lowrank
