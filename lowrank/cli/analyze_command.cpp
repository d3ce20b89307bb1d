// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/analyze_command.h"

#include <CLI/CLI.hpp>

#include "lowrank/cli/measured_progress.h"

namespace lowrank::cli {
namespace {

template <class Flags>
void add_part(CLI::App& app, const char* name, const char* description, AnalyzeFlags& all,
              Flags& flags) {
  CLI::App* part = app.add_subcommand(name, description);
  part->allow_extras();  // the program names them, with the nearest known one
  add(*part, flags);
  part->callback([&all, &flags, name] {
    all.chosen = [&flags, name](const Console& console) {
      return run_measurement(name, console, [&] { return run(flags, console); });
    };
  });
}

}  // namespace

void add(CLI::App& app, AnalyzeFlags& flags) {
  app.require_subcommand(1);
  add_part(app, "spectrum", "How low the rank of the attention matrices is", flags, flags.spectrum);
  add_part(app, "error", "What approximations of the attention cost", flags, flags.error);
  add_part(app, "projection", "What random projections do, as the length grows", flags,
           flags.projection);
  add_part(app, "attention", "Who reads whom in a text", flags, flags.attention);
  app.footer(
      "EXAMPLE\n"
      "  lowrank analyze spectrum models/minilm novels/ --n 512\n"
      "  lowrank analyze attention models/minilm note.txt --rollout cls --html note.html");
}

int run(const AnalyzeFlags& flags, const Console& console) { return flags.chosen(console); }

}  // namespace lowrank::cli
