// SPDX-License-Identifier: Apache-2.0
#include "lowrank/ops/dispatch.h"

#include <ATen/ATen.h>

#include <cstdlib>
#include <string_view>

#include "lowrank/base/cpu_level.h"
#include "lowrank/kernels/cpu/table.h"
#include "lowrank/ops/cpu.h"
#include "lowrank/ops/fallback.h"
#include "lowrank/ops/implementations.h"
#include "lowrank/ops/libtorch.h"

namespace lowrank {
namespace {

std::string refuse_nothing(const Problem&) { return {}; }

std::string refuse_other_devices(const Problem& problem) {
  if (problem.device == at::kCPU) return {};
  return "the tensors are on " + c10::DeviceTypeName(problem.device, /*lower_case=*/true) +
         ", it runs on the cpu";
}

std::string refuse_for_kernels(const Problem& problem) {
  if (std::string reason = refuse_other_devices(problem); !reason.empty()) return reason;
  if (problem.dtype != at::kFloat && problem.dtype != at::kBFloat16) {
    return std::string("the tensors are ") + at::toString(problem.dtype) +
           ", it takes Float and BFloat16";
  }
  if (problem.columns % 8 == 0) return {};
  return "the head size is " + std::to_string(problem.columns) + ", it takes multiples of 8";
}

std::string cpu_variant(const Problem& problem) {
  const auto element =
      problem.dtype == at::kFloat ? kernels::Element::kFloat : kernels::Element::kBfloat16;
  return name(kernels::table_level(cpu_level(), element));
}

std::string exact_variant(const Problem& problem) {
  return cpu_variant(problem) + ", libtorch above " + std::to_string(cpu::kFewKeys) + " keys";
}

template <class Forward, class Backward>
KernelChoice choice(const char* op, const Implementations<Forward, Backward>& list,
                    const Problem& problem) {
  KernelChoice result{.op = op, .taken = list.back().name, .refused = {}};
  for (const auto& implementation : list) {
    std::string reason = implementation.refusal(problem);
    if (reference_wanted() && &implementation != &list.back()) reason = "LOWRANK_REFERENCE = 1";
    if (reason.empty()) {
      result.taken = implementation.name;
      if (implementation.variant) result.taken += " " + implementation.variant(problem);
      break;
    }
    result.refused.emplace_back(implementation.name, std::move(reason));
  }
  return result;
}

}  // namespace

const ExactImplementations& exact_implementations() {
  static const ExactImplementations list = {
      {"cpu", refuse_for_kernels, cpu::exact_attention, cpu::exact_attention_backward,
       exact_variant},
      {"libtorch", refuse_other_devices, libtorch::exact_attention,
       libtorch::exact_attention_backward},
      {"reference", refuse_nothing, fallback::exact_attention, fallback::exact_attention_backward}};
  return list;
}

const NystromImplementations& nystrom_implementations() {
  static const NystromImplementations list = {
      {"cpu", refuse_for_kernels, cpu::nystrom_attention, cpu::nystrom_attention_backward,
       cpu_variant},
      {"libtorch", refuse_other_devices, libtorch::nystrom_attention,
       libtorch::nystrom_attention_backward},
      {"reference", refuse_nothing, fallback::nystrom_attention,
       fallback::nystrom_attention_backward}};
  return list;
}

const LinformerImplementations& linformer_implementations() {
  static const LinformerImplementations list = {
      {"cpu", refuse_for_kernels, cpu::linformer_attention, cpu::linformer_attention_backward,
       cpu_variant},
      {"libtorch", refuse_other_devices, libtorch::linformer_attention,
       libtorch::linformer_attention_backward},
      {"reference", refuse_nothing, fallback::linformer_attention,
       fallback::linformer_attention_backward}};
  return list;
}

const ProjectImplementations& project_implementations() {
  static const ProjectImplementations list = {
      {"cpu", refuse_for_kernels, cpu::project_sequences, cpu::project_sequences_backward,
       cpu_variant},
      {"libtorch", refuse_other_devices, libtorch::project_sequences,
       libtorch::project_sequences_backward},
      {"reference", refuse_nothing, fallback::project_sequences,
       fallback::project_sequences_backward}};
  return list;
}

const MeansImplementations& means_implementations() {
  static const MeansImplementations list = {
      {"libtorch", refuse_other_devices, libtorch::segment_means, libtorch::segment_means_backward},
      {"reference", refuse_nothing, fallback::segment_means, fallback::segment_means_backward}};
  return list;
}

const InverseImplementations& inverse_implementations() {
  static const InverseImplementations list = {
      {"libtorch", refuse_other_devices, libtorch::pseudo_inverse,
       libtorch::pseudo_inverse_backward},
      {"reference", refuse_nothing, fallback::pseudo_inverse, fallback::pseudo_inverse_backward}};
  return list;
}

bool reference_wanted() {
  const char* value = std::getenv("LOWRANK_REFERENCE");
  return value != nullptr && std::string_view(value) == "1";
}

std::vector<KernelChoice> describe_dispatch(c10::DeviceType device, c10::ScalarType dtype) {
  const Problem problem{device, dtype, /*columns=*/64};
  return {choice("exact_attention", exact_implementations(), problem),
          choice("nystrom_attention", nystrom_implementations(), problem),
          choice("linformer_attention", linformer_implementations(), problem),
          choice("project_sequences", project_implementations(), problem),
          choice("segment_means", means_implementations(), problem),
          choice("pseudo_inverse", inverse_implementations(), problem)};
}

}  // namespace lowrank
