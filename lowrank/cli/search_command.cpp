// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/search_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <filesystem>

#include "lowrank/base/file.h"
#include "lowrank/cli/escape.h"
#include "lowrank/cli/progress_bar.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/stop_signal.h"
#include "lowrank/cli/validators.h"
#include "lowrank/serve/search_index.h"

namespace lowrank::cli {
namespace {

namespace fs = std::filesystem;

constexpr size_t kShown = 160;  // bytes of a passage's beginning

fs::path index_path(const SearchFlags& flags) {
  return flags.index.empty() ? fs::path(flags.folder) / ".lowrank-index.safetensors"
                             : fs::path(flags.index);
}

serve::SearchIndex open_index(const SearchFlags& flags, const Json& settings) {
  const fs::path path = index_path(flags);
  if (flags.rebuild || !fs::exists(path)) {
    const fs::path folder = path.parent_path();
    require_writable(folder.empty() ? "." : folder, 0);  // before the long work
    return serve::SearchIndex(settings);
  }
  return serve::SearchIndex::load(path, settings);
}

// The beginning of a passage on one line: whole characters, runs of white space as one space.
std::string beginning(const std::string& content, const serve::Passage& passage) {
  std::string text;
  const auto end = std::min(content.size(), static_cast<size_t>(passage.end));
  size_t at = static_cast<size_t>(passage.begin);
  for (; at < end && text.size() < kShown; ++at) {
    const bool space = std::string_view(" \t\r\n\f\v").find(content[at]) != std::string_view::npos;
    if (!space) {
      text += content[at];
    } else if (!text.empty() && text.back() != ' ') {
      text += ' ';
    }
  }
  while (at < end && (static_cast<uint8_t>(content[at]) & 0xC0) == 0x80) text += content[at++];
  return at < end ? text + "..." : text;
}

void print(const std::vector<serve::Hit>& hits, const SearchFlags& flags, const Console& console) {
  for (const serve::Hit& hit : hits) {
    const std::string text = beginning(read_file(fs::path(flags.folder) / hit.file), hit.passage);
    if (flags.json) {
      const Json object = {{"file", hit.file},
                           {"score", hit.score},
                           {"begin", hit.passage.begin},
                           {"end", hit.passage.end},
                           {"text", text}};
      console.out << object.dump(-1, ' ', false, Json::error_handler_t::replace) << '\n';
    } else {
      console.out << fmt::format("{:6.3f}  {}  bytes {} to {}\n        {}\n", hit.score,
                                 escaped(hit.file), grouped(hit.passage.begin),
                                 grouped(hit.passage.end), escaped(text));
    }
  }
}

std::string in_words(const serve::UpdateReport& report) {
  std::string words =
      fmt::format("{} embedded, {} known", counted(report.embedded, "file"), grouped(report.kept));
  if (report.removed > 0) words += fmt::format(", {} gone", grouped(report.removed));
  if (report.skipped > 0) words += fmt::format(", {} empty or binary", grouped(report.skipped));
  return words;
}

}  // namespace

void add(CLI::App& app, SearchFlags& flags) {
  app.add_option("FOLDER", flags.folder, "whose files are searched, with all folders below")
      ->required()
      ->type_name("");
  app.add_option("QUERY", flags.query, "what to look for, in words")->required()->type_name("");
  app.add_option("--model", flags.model, "folder of a run or of a model")
      ->required()
      ->type_name("");
  app.add_option(
         "--index", flags.index,
         "file that keeps the vectors (default: .lowrank-index.safetensors in FOLDER); only "
         "new and changed files are embedded again")
      ->type_name("");
  app.add_flag("--rebuild", flags.rebuild, "embeds all files again, as for another model");
  app.add_option("--granularity", flags.granularity,
                 "what is ranked: file, by the mean of its chunks, or chunk")
      ->check(one_of({"file", "chunk"}))
      ->type_name("")
      ->capture_default_str();
  app.add_option("--top", flags.top, "hits printed")
      ->check(whole_number(1, 1'000'000))
      ->type_name("")
      ->capture_default_str();
  app.add_flag("--json", flags.json, "prints a JSON object a line");
  add(app, flags.inference,
      "what to do with a file longer than max_length: chunk makes a passage of each chunk, "
      "interpolate reads it in one pass");
  app.footer(
      "Ctrl-C keeps what was embedded, and the next search goes on from there.\n\n"
      "EXAMPLE\n"
      "  lowrank search notes/ \"when does the train leave\" --model models/minilm");
}

int run(const SearchFlags& flags, const Console& console) {
  if (!fs::is_directory(flags.folder)) {
    throw Error(fmt::format("{}: it is no folder. Name the folder to search.", flags.folder));
  }
  const serve::TextModel model = load(flags.model, flags.inference);
  const serve::EmbedOptions options{.normalize = false,
                                    .pieces = piece_options(flags.inference),
                                    .token_budget = flags.inference.token_budget};
  serve::Embedder embedder(model, options);
  serve::SearchIndex index = open_index(flags, serve::index_settings(model, options));
  const at::Tensor query =
      embedder.embed({embedder.cut({.text = flags.query, .source = "QUERY"})})[0];

  ProgressBar bar(console);
  const StopSignal stop;
  bool complained = false;
  const auto complain = [&](const std::string& sentence) {
    complained = true;
    bar.print("lowrank search: " + sentence);
  };
  const auto progress = [&](int64_t done, int64_t total, int64_t tokens) {
    bar.update(static_cast<double>(done) / static_cast<double>(std::max<int64_t>(total, 1)),
               fmt::format("{} embedded", counted(tokens, "token")));
    return !stop.raised();
  };
  const serve::UpdateReport report =
      index.update(flags.folder, index_path(flags), embedder, complain, progress);
  bar.wipe();
  if (report.embedded > 0 || report.removed > 0 || flags.rebuild) index.save(index_path(flags));
  if (report.stopped) {
    console.err << fmt::format("lowrank search: interrupted; {} of this time are kept in {}.\n",
                               counted(report.embedded, "file"), index_path(flags).string());
    return kInterrupted;
  }
  console.err << fmt::format("lowrank search: {}\n", in_words(report));
  const auto granularity =
      flags.granularity == "file" ? serve::Granularity::kFile : serve::Granularity::kChunk;
  print(index.search(query, flags.top, granularity), flags, console);
  return complained ? kFailed : kDone;
}

}  // namespace lowrank::cli
