// SPDX-License-Identifier: Apache-2.0
#include "tests/support/golden.h"

#include "lowrank/ops/compat.h"
#include "lowrank/ops/exact.h"
#include "lowrank/ops/linformer.h"
#include "lowrank/ops/nystrom.h"

namespace lowrank {
namespace {

using at::Tensor;
using Json = testing::GoldenJson;
using testing::Tensors;

Tensor find(const Tensors& tensors, const char* name) {
  const auto found = tensors.find(name);
  return found == tensors.end() ? Tensor() : found->second;
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

Tensor formula(const Json& options, const Tensors& t) {
  const Tensor &q = t.at("q"), &k = t.at("k"), &v = t.at("v"), mask = find(t, "mask");
  if (options.at("op") == "exact") return padded_exact_attention(q, k, v, mask);
  if (options.at("op") == "linformer") {
    return padded_linformer_attention(q, k, v, t.at("E"), find(t, "F"), mask);
  }
  const Tensor filter = find(t, "conv");
  const NystromOptions nystrom{.landmarks = options.at("m"),
                               .inverse_steps = options.at("iters"),
                               .conv = filter.defined() ? filter.size(1) : 0};
  return padded_nystrom_attention(q, k, v, mask, nystrom, filter);
}

// [h, 1, taps, 1], as a convolution holds it, to [h, taps].
Tensor filter_of(const Tensors& t, const char* name) {
  const Tensor weight = find(t, name);
  return weight.defined() ? weight.squeeze(3).squeeze(1) : weight;
}

Tensor hugging_face(const Json& options, const Tensors& t) {
  return compat::attention(t.at("q"), t.at("k"), t.at("v"), find(t, "mask"),
                           {.profile = Profile::kHuggingFace,
                            .landmarks = options.at("num_landmarks"),
                            .segment_length = options.at("segment_means_seq_len"),
                            .inverse_steps = options.at("n_iter"),
                            .per_matrix_start = options.at("inverse_init") == "exact"},
                           filter_of(t, "param.conv.weight"));
}

Tensor mlpen(const Json& options, const Tensors& t) {
  const Tensor mask = t.at("mask").detach().to(at::kBool);
  if (options.contains("k")) {
    return compat::mlpen_linformer_attention(t.at("q"), t.at("k"), t.at("v"), mask,
                                             t.at("param.E"));
  }
  return compat::attention(t.at("q"), t.at("k"), t.at("v"), mask,
                           {.profile = Profile::kMlpen,
                            .landmarks = options.at("num_landmarks"),
                            .segment_length = options.at("seq_len"),
                            .inverse_steps = options.at("n_iter"),
                            .per_matrix_start = options.at("inverse_init") == "exact"},
                           filter_of(t, "param.conv.weight"));
}

Tensor lucidrains(const Json& options, const Tensors& t) {
  if (t.count("a") > 0) {
    return compat::pseudo_inverse(t.at("a"), options.at("iters"), compat::InverseStart::kProduct);
  }
  return compat::attention(t.at("q"), t.at("k"), t.at("v"), find(t, "mask"),
                           {.profile = Profile::kLucidrains,
                            .landmarks = options.at("num_landmarks"),
                            .inverse_steps = options.at("pinv_iterations")},
                           filter_of(t, "param.res_conv.weight"));
}

// Compares every case of a profile that `compared` takes, and returns their number.
int compare_all(const char* profile, const testing::GoldenFunction& function,
                const std::function<bool(const Json&)>& compared) {
  int count = 0;
  for (const Json& test_case : testing::golden_cases(profile)) {
    if (!compared(test_case)) continue;
    testing::expect_golden(test_case, at::kDouble, function);
    testing::expect_golden(test_case, at::kFloat, function);
    ++count;
  }
  return count;
}

bool any(const Json&) { return true; }

TEST(Golden, TheRecordedFormulasAgreeInFloat64AndFloat32) {
  LOWRANK_NEEDS_GOLDEN();
  const auto promised = [](const Json& test_case) {
    const std::string reason = difference(test_case.at("options"));
    if (reason.empty()) return true;
    std::printf("not compared: %s: %s\n", test_case.at("id").get<std::string>().c_str(),
                reason.c_str());
    return false;
  };
  EXPECT_GE(compare_all("math", formula, promised), 20);
}

TEST(Golden, HuggingFacesAttentionAgreesInFloat64AndFloat32) {
  LOWRANK_NEEDS_GOLDEN();
  EXPECT_GE(compare_all("hf", hugging_face, any), 13);
}

TEST(Golden, MlpensAttentionAgreesInFloat64AndFloat32) {
  LOWRANK_NEEDS_GOLDEN();
  EXPECT_GE(compare_all("mlpen", mlpen, any), 12);
}

// The modules around it are compared with those of models.
TEST(Golden, LucidrainsAttentionAgreesInFloat64AndFloat32) {
  LOWRANK_NEEDS_GOLDEN();
  const auto core = [](const Json& test_case) { return !test_case.at("tensors").contains("x"); };
  EXPECT_GE(compare_all("lucidrains", lucidrains, core), 16);
}

}  // namespace
}  // namespace lowrank
