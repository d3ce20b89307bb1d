// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/info_command.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <CLI/CLI.hpp>
#include <filesystem>
#include <limits>

#include "lowrank/cli/escape.h"
#include "lowrank/cli/machine.h"
#include "lowrank/cli/model_summary.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/table.h"
#include "lowrank/models/derive.h"
#include "lowrank/models/dtype.h"
#include "lowrank/models/model_directory.h"
#include "lowrank/models/quirks.h"
#include "lowrank/ops/dispatch.h"
#include "lowrank/serve/array_model.h"
#include "lowrank/train/trainer.h"

namespace lowrank::cli {
namespace {

// In what a model differs from the method that it is named after, and what that costs.
void add_quirks(const std::vector<models::Quirk>& quirks, Facts& facts) {
  for (const models::Quirk& quirk : quirks) {
    facts.emplace_back("quirk: " + quirk.name, quirk.does + " " + quirk.costs);
  }
}

std::string what_it_gives(const models::ForeignSignature& signature) {
  return signature.classifies
             ? fmt::format("the probability of each of {} classes", signature.outputs)
             : fmt::format("{} for each row", counted(signature.outputs, "number"));
}

Facts module_facts(const std::filesystem::path& folder) {
  const models::ForeignModel foreign = models::load_foreign(folder);
  const models::ForeignSignature signature = models::signature_of(foreign.options);
  int64_t parameters = 0;
  for (const at::Tensor& parameter : foreign.module->parameters()) parameters += parameter.numel();
  Facts facts = {
      {"model", folder.string()},
      {"what it is",
       fmt::format("a module of \"{}\"", profile_name(models::profile_of(foreign.options)))},
      {"parameters", grouped(parameters)},
      {"reads", fmt::format("arrays {}", serve::shape_in_words(signature))},
      {"gives", what_it_gives(signature)},
      {"use", fmt::format("lowrank {} {} FILE.npy{}", serve::command_for(signature),
                          folder.string(), signature.classifies ? "" : " --output OUT.npy")}};
  add_quirks(models::quirks(foreign.options), facts);
  return facts;
}

Facts model_facts(const std::string& path) {
  const std::filesystem::path folder = models::find_model(path);
  if (models::is_foreign_folder(folder)) return module_facts(folder);
  const std::shared_ptr<models::Model> model = models::load_model(folder);
  const models::ModelConfig& config = model->config();
  int64_t longest = models::longest_sequence(config);
  if (std::filesystem::exists(folder / "recipe.json")) {
    longest = train::load_saved_recipe(folder).data.max_length;
  }
  Facts facts = {{"model", folder.string()},
                 {"what it is", in_words(config)},
                 {"parameters", grouped(models::parameter_count(*model))},
                 {"reads", longest == std::numeric_limits<int64_t>::max()
                               ? "any number of tokens"
                               : fmt::format("{} tokens at most", grouped(longest))}};
  if (!config.classes.empty())
    facts.emplace_back("classes", fmt::format("{}", fmt::join(config.classes, ", ")));
  add_quirks(models::quirks(config), facts);
  return facts;
}

// The implementation that each operator takes on the CPU.
struct OperatorChoices {
  c10::ScalarType dtype;
  std::vector<KernelChoice> choices;
};

std::vector<OperatorChoices> operator_choices() {
  std::vector<OperatorChoices> all;
  for (const std::string& name : models::dtype_names()) {
    const c10::ScalarType dtype = models::dtype_of(name);
    all.push_back({dtype, describe_dispatch(at::kCPU, dtype)});
  }
  return all;
}

// A row an operator, a column a dtype; then why a faster implementation was refused.
void print(const std::vector<OperatorChoices>& all, std::ostream& out) {
  std::vector<std::string> heading = {"operator"};
  for (const OperatorChoices& of_dtype : all) heading.push_back(models::dtype_name(of_dtype.dtype));
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
        out << fmt::format("{}, {}: not {}, {}\n", choice.op, models::dtype_name(of_dtype.dtype),
                           name, reason);
      }
    }
  }
}

Json to_json(const std::vector<OperatorChoices>& all) {
  Json json = Json::object();
  for (const OperatorChoices& of_dtype : all) {
    for (const KernelChoice& choice : of_dtype.choices) {
      Json& entry = json[choice.op][models::dtype_name(of_dtype.dtype)];
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
