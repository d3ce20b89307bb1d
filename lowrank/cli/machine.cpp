// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/machine.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <fmt/format.h>
#include <torch/headeronly/version.h>

#include <fstream>

#include "lowrank/base/build_info.h"
#include "lowrank/base/cpu_level.h"
#include "lowrank/cli/quantity.h"

namespace lowrank::cli {
namespace {

// "key : value" of the first line of `path` that starts with `key`; empty where there is none.
std::string value_in(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with(key) && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "";
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string cuda_in_words() {
  if (!at::Context::hasCUDART() && !at::hasCUDA()) {
    return "none: this LibTorch was built without CUDA";
  }
  if (!at::hasCUDA()) return "none: no CUDA device was found; is the driver loaded?";
  return counted(static_cast<int64_t>(at::detail::getCUDAHooks().deviceCount()), "device");
}

}  // namespace

Json to_json(const Facts& facts) {
  Json json = Json::object();
  for (const auto& [word, value] : facts) json[word] = value;
  return json;
}

Facts machine_facts() {
  const std::string commit = build_info::kCommit;
  return {
      {"lowrank",
       fmt::format("{}{}, {}, {}", build_info::kVersion, commit.empty() ? "" : " (" + commit + ")",
                   build_info::kCompiler, build_info::kBuildType)},
      {"LibTorch", TORCH_VERSION},
      {"processor", processor()},
      {"CPU level", level_in_words()},
      {"threads", fmt::format("{} (between operators: {})", at::get_num_threads(),
                              at::get_num_interop_threads())},
      {"BLAS", at::hasMKL() ? first_line(at::get_mkl_version()) : "LibTorch's own, without MKL"},
      {"oneDNN", at::hasMKLDNN() ? first_line(at::get_mkldnn_version()) : "none"},
      {"LibTorch kernels", at::get_cpu_capability()},
      {"CUDA", cuda_in_words()},
  };
}

std::string processor() {
  const std::string model = value_in("/proc/cpuinfo", "model name");
  return model.empty() ? "unknown" : model;
}

std::string level_in_words() {
  const CpuLevel detected = detected_cpu_level(), in_force = cpu_level();
  if (detected == in_force) return name(in_force);
  return fmt::format("{}, lowered by LOWRANK_CPU_LEVEL from {}", name(in_force), name(detected));
}

}  // namespace lowrank::cli
