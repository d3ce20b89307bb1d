// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/info_command.h"

#include <ATen/Context.h>
#include <ATen/Parallel.h>
#include <ATen/Version.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/headeronly/version.h>

#include <CLI/CLI.hpp>
#include <array>
#include <fstream>
#include <sstream>

#include "lowrank/base/build_info.h"
#include "lowrank/base/cpu_level.h"
#include "lowrank/cli/escape.h"
#include "lowrank/cli/model_summary.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/table.h"
#include "lowrank/ops/dispatch.h"
#include "lowrank/train/trainer.h"

namespace lowrank::cli {
namespace {

// A line of the output: a word and what is to say about it.
using Facts = std::vector<std::pair<std::string, std::string>>;

// "key : value" of the first line of `path` that starts with `key`; empty where there is none.
std::string value_in(const char* path, const std::string& key) {
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    const size_t colon = line.find(": ");
    if (line.starts_with(key) && colon != std::string::npos) return line.substr(colon + 2);
  }
  return "";
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

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

std::string cuda_in_words() {
  if (!at::Context::hasCUDART() && !at::hasCUDA()) {
    return "none: this LibTorch was built without CUDA";
  }
  if (!at::hasCUDA()) return "none: no CUDA device was found; is the driver loaded?";
  return counted(static_cast<int64_t>(at::detail::getCUDAHooks().deviceCount()), "device");
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

Facts model_facts(const std::string& path) {
  const train::TrainedModel trained = train::load_trained(path);
  const models::ModelConfig& config = trained.model->config();
  Facts facts = {
      {"model", trained.folder.string()},
      {"what it is", in_words(config)},
      {"parameters", grouped(models::parameter_count(*trained.model))},
      {"reads", fmt::format("{} tokens at most", grouped(trained.recipe.data.max_length))},
  };
  if (!config.classes.empty())
    facts.emplace_back("classes", fmt::format("{}", fmt::join(config.classes, ", ")));
  return facts;
}

constexpr std::array kDtypes = {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble};

std::string dtype_name(c10::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "float32";
    case at::kBFloat16:
      return "bfloat16";
    case at::kHalf:
      return "float16";
    default:
      return "float64";
  }
}

// The implementation that each operator takes on the CPU.
struct OperatorChoices {
  c10::ScalarType dtype;
  std::vector<KernelChoice> choices;
};

std::vector<OperatorChoices> operator_choices() {
  std::vector<OperatorChoices> all;
  for (const c10::ScalarType dtype : kDtypes) {
    all.push_back({dtype, describe_dispatch(at::kCPU, dtype)});
  }
  return all;
}

// A row an operator, a column a dtype; then why a faster implementation was refused.
void print(const std::vector<OperatorChoices>& all, std::ostream& out) {
  std::vector<std::string> heading = {"operator"};
  for (const OperatorChoices& of_dtype : all) heading.push_back(dtype_name(of_dtype.dtype));
  Table table(heading, heading.size());
  for (size_t op = 0; op < all.front().choices.size(); ++op) {
    std::vector<std::string> row = {all.front().choices[op].op};
    for (const OperatorChoices& of_dtype : all) row.push_back(of_dtype.choices[op].taken);
    table.add_row(std::move(row));
  }
  table.print(out);
  for (const OperatorChoices& of_dtype : all) {
    for (const KernelChoice& choice : of_dtype.choices) {
      for (const auto& [name, reason] : choice.refused) {
        out << fmt::format("{}, {}: not {}, {}\n", choice.op, dtype_name(of_dtype.dtype), name,
                           reason);
      }
    }
  }
}

Json to_json(const std::vector<OperatorChoices>& all) {
  Json json = Json::object();
  for (const OperatorChoices& of_dtype : all) {
    for (const KernelChoice& choice : of_dtype.choices) {
      Json& entry = json[choice.op][dtype_name(of_dtype.dtype)];
      entry["taken"] = choice.taken;
      entry["refused"] = Json::object();
      for (const auto& [name, reason] : choice.refused) entry["refused"][name] = reason;
    }
  }
  return json;
}

void print(const Facts& facts, std::ostream& out) {
  Table table({"", ""}, 2);
  for (const auto& [word, value] : facts) table.add_row({word, escaped(value)});
  table.print(out);
}

Json to_json(const Facts& facts) {
  Json json = Json::object();
  for (const auto& [word, value] : facts) json[word] = value;
  return json;
}

}  // namespace

void add(CLI::App& app, InfoFlags& flags) {
  app.add_option("MODEL", flags.model, "folder of a run or of a model to describe")->type_name("");
  app.add_flag("--json", flags.json, "prints JSON");
  app.footer(
      "EXAMPLE\n"
      "  lowrank info runs/source_files");
}

int run(const InfoFlags& flags, const Console& console) {
  const Facts machine = machine_facts();
  const std::vector<OperatorChoices> operators = operator_choices();
  const Facts model = flags.model.empty() ? Facts{} : model_facts(flags.model);
  if (flags.json) {
    Json json = {{"machine", to_json(machine)}, {"operators", to_json(operators)}};
    if (!model.empty()) json["model"] = to_json(model);
    console.out << json.dump(2, ' ', false, Json::error_handler_t::replace) << '\n';
    return kDone;
  }
  print(machine, console.out);
  console.out << '\n';
  print(operators, console.out);
  if (!model.empty()) {
    console.out << '\n';
    print(model, console.out);
  }
  return kDone;
}

}  // namespace lowrank::cli
