// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/program.h"

#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <functional>
#include <memory>

#include "lowrank/base/build_info.h"
#include "lowrank/cli/analyze_command.h"
#include "lowrank/cli/baseline_command.h"
#include "lowrank/cli/bench_command.h"
#include "lowrank/cli/convert_command.h"
#include "lowrank/cli/data_command.h"
#include "lowrank/cli/embed_command.h"
#include "lowrank/cli/eval_command.h"
#include "lowrank/cli/fill_command.h"
#include "lowrank/cli/generate_command.h"
#include "lowrank/cli/info_command.h"
#include "lowrank/cli/lra_command.h"
#include "lowrank/cli/misuse.h"
#include "lowrank/cli/predict_command.h"
#include "lowrank/cli/search_command.h"
#include "lowrank/cli/sweep_command.h"
#include "lowrank/cli/train_command.h"
#include "lowrank/cli/vocabulary_command.h"

namespace lowrank::cli {
namespace {

struct Command {
  CLI::App* app;
  std::function<int(const Console&)> run;
};

template <class Flags>
Command add_command(CLI::App& program, const char* name, const char* description) {
  CLI::App* app = program.add_subcommand(name, description);
  app->allow_extras();  // complaint() names them, with the nearest known one
  const auto flags = std::make_shared<Flags>();
  add(*app, *flags);
  return {app, [flags](const Console& console) { return run(*flags, console); }};
}

std::vector<Command> add_commands(CLI::App& program) {
  return {
      add_command<TrainFlags>(program, "train", "Train a model from a recipe, or resume a run"),
      add_command<SweepFlags>(program, "sweep", "Train a recipe for each of several values"),
      add_command<EvalFlags>(program, "eval", "Measure a trained model on a data set"),
      add_command<PredictFlags>(program, "predict", "Label files, lines or standard input"),
      add_command<FillFlags>(program, "fill", "Guess the words that texts leave blank"),
      add_command<EmbedFlags>(program, "embed", "Turn files, lines or standard input into vectors"),
      add_command<SearchFlags>(program, "search", "Find the files of a folder by meaning"),
      add_command<ConvertFlags>(program, "convert", "Bring a model over, give it other attention"),
      add_command<VocabularyFlags>(program, "vocabulary", "Make a tokenizer out of texts"),
      add_command<DataFlags>(program, "data", "Show what a recipe's data holds"),
      add_command<GenerateFlags>(program, "generate",
                                 "Make ListOps expressions or Pathfinder images"),
      add_command<LraFlags>(program, "lra", "Run the tasks of Long Range Arena"),
      add_command<InfoFlags>(program, "info", "Show the build, the machine and a model"),
      add_command<BaselineFlags>(program, "baseline", "Measure a simple model on a recipe's data"),
      add_command<BenchFlags>(program, "bench", "Measure time and memory of the attention kinds"),
      add_command<AnalyzeFlags>(program, "analyze", "Look into a model's attention"),
  };
}

std::vector<std::string> flag_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

std::string did_you_mean(const std::string& name, const std::vector<std::string>& known) {
  const std::string near = nearest_name(name, known);
  return near.empty() ? "" : fmt::format(" Did you mean {}?", near);
}

// What is wrong with the arguments that nothing took; empty when there are none.
std::string unknown_argument(const CLI::App& app, const std::vector<std::string>& commands) {
  const std::vector<std::string> extras = app.remaining();
  for (const std::string& extra : extras) {
    if (extra.size() < 2 || extra[0] != '-') continue;
    const std::string flag = extra.substr(0, extra.find('='));
    return fmt::format("unknown flag {}.{}", flag, did_you_mean(flag, flag_names(app)));
  }
  if (extras.empty()) return "";
  if (commands.empty()) return fmt::format("unexpected argument \"{}\".", extras[0]);
  return fmt::format("unknown command \"{}\".{}", extras[0], did_you_mean(extras[0], commands));
}

std::vector<std::string> command_names(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    names.push_back(command->get_name());
  }
  return names;
}

// The one sentence about a command line that CLI11 refused.
std::string refusal(const CLI::ParseError& error) {
  std::string text = error.what();
  if (dynamic_cast<const CLI::ValidationError*>(&error)) {  // "--top: 0 is not ..."
    if (const size_t colon = text.find(": "); colon != std::string::npos) {
      text.replace(colon, 2, " = ");
    }
  }
  if (!text.ends_with('.') && !text.ends_with('?')) text += '.';
  return text;
}

int misused(const std::string& name, const std::string& sentence, const Console& console) {
  console.err << fmt::format("{}: {} See \"{} --help\".\n", name, sentence, name);
  return kMisused;
}

int run_command(const Command& command, const std::string& name, const Console& console) {
  const auto failed = [&](const char* message, int status) {
    console.err << fmt::format("{}: {}\n", name, message);
    return status;
  };
  try {
    return command.run(console);
  } catch (const Misuse& error) {
    return failed(error.what(), kMisused);
  } catch (const c10::Error& error) {
    return failed(error.what_without_backtrace(), kFailed);
  } catch (const std::bad_alloc&) {
    return failed("memory ran out. Use a smaller batch_size or max_length.", kFailed);
  } catch (const std::exception& error) {
    return failed(error.what(), kFailed);
  }
}

}  // namespace

int run_program(const std::vector<std::string>& arguments, const Console& console) {
  CLI::App program("Transformers whose attention costs O(n) in the sequence length.", "lowrank");
  program.set_version_flag("--version", fmt::format("lowrank {}", build_info::kVersion));
  program.require_subcommand(1);
  program.allow_extras();
  program.get_formatter()->column_width(34);
  program.footer("EXAMPLE\n  lowrank train recipes/source_files.toml");
  const std::vector<Command> commands = add_commands(program);
  std::string sentence;
  try {
    const bool fills = !arguments.empty() && arguments[0] == "fill";
    std::vector<std::string> reversed = fills ? guarded_texts(arguments) : arguments;
    std::reverse(reversed.begin(), reversed.end());  // as CLI11 wants them
    program.parse(reversed);
  } catch (const CLI::CallForHelp&) {
    console.out << program.help();
    return kDone;
  } catch (const CLI::CallForVersion& version) {
    console.out << version.what() << '\n';
    return kDone;
  } catch (const CLI::ParseError& error) {
    sentence = refusal(error);
  }

  const auto chosen = std::find_if(commands.begin(), commands.end(),
                                   [](const Command& command) { return command.app->parsed(); });
  if (chosen == commands.end()) {
    const std::string unknown = unknown_argument(program, command_names(program));
    return misused("lowrank", unknown.empty() ? "a command is needed." : unknown, console);
  }
  const CLI::App* app = chosen->app;  // and then the command's own command, where it has some
  std::string name = "lowrank " + app->get_name();
  while (!app->get_subcommands().empty()) {
    app = app->get_subcommands().front();
    name += " " + app->get_name();
  }
  const std::string unknown = unknown_argument(*app, command_names(*app));
  if (!unknown.empty()) return misused(name, unknown, console);
  if (!sentence.empty()) return misused(name, sentence, console);
  return run_command(*chosen, name, console);
}

}  // namespace lowrank::cli
