// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/vocabulary_command.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <filesystem>

#include "lowrank/base/config.h"
#include "lowrank/base/file.h"
#include "lowrank/cli/misuse.h"
#include "lowrank/cli/progress_bar.h"
#include "lowrank/cli/quantity.h"
#include "lowrank/cli/validators.h"
#include "lowrank/serve/read_texts.h"

namespace lowrank::cli {
namespace {

namespace fs = std::filesystem;

// The files' texts, one a file.
std::vector<std::string> learn(const VocabularyFlags& flags, const std::vector<fs::path>& files,
                               const Console& console) {
  ProgressBar bar(console);
  size_t done = 0;
  text::WordPieceOptions options = flags.pieces;
  options.lowercase = !flags.cased;
  return text::learn_word_pieces(
      [&](std::string& text) {
        bar.update(static_cast<double>(done) / static_cast<double>(files.size()),
                   fmt::format("reading {} of {}", grouped(static_cast<int64_t>(done)),
                               counted(std::ssize(files), "file")));
        if (done == files.size()) return false;
        text = read_file(files[done++]);
        return true;
      },
      options);
}

void save(const std::vector<std::string>& pieces, const VocabularyFlags& flags) {
  AtomicDirectory directory(flags.folder);
  std::string lines;
  for (const std::string& piece : pieces) lines += piece + "\n";
  replace_file(directory.path() / "vocab.txt", lines);
  const Json config = {{"tokenizer_class", "BertTokenizer"}, {"do_lower_case", !flags.cased}};
  replace_file(directory.path() / "tokenizer_config.json", config.dump(2) + "\n");
  directory.commit();
}

}  // namespace

void add(CLI::App& app, VocabularyFlags& flags) {
  app.add_option("FOLDER", flags.folder, "folder to make, for model.tokenizer of a recipe")
      ->required()
      ->type_name("");
  app.add_option("TEXT", flags.texts, "files, and folders with all below them")
      ->required()
      ->type_name("");
  app.add_option("--size", flags.pieces.size, "tokens of the vocabulary")
      ->check(whole_number(16, 10'000'000))
      ->type_name("")
      ->capture_default_str();
  app.add_flag("--cased", flags.cased, "keeps capitals and accents");
  app.footer(
      "EXAMPLE\n"
      "  lowrank vocabulary letters_vocabulary ~/letters --size 8192\n"
      "  lowrank train recipe.toml --set model.tokenizer=letters_vocabulary");
}

int run(const VocabularyFlags& flags, const Console& console) {
  if (fs::exists(flags.folder) && !fs::is_empty(flags.folder)) {
    throw Misuse(fmt::format("FOLDER = {}; it holds files already. Name a new one, or remove it.",
                             flags.folder));
  }
  const auto complain = [](const std::string& sentence) { throw Error(sentence); };
  const std::vector<fs::path> files = serve::find_texts(flags.texts, complain);
  if (files.empty()) throw Error("vocabulary: there are no files to read. Name some.");
  const std::vector<std::string> pieces = learn(flags, files, console);
  save(pieces, flags);
  console.out << fmt::format("{} in {}/vocab.txt, from {}\n", counted(std::ssize(pieces), "token"),
                             flags.folder, counted(std::ssize(files), "file"));
  return kDone;
}

}  // namespace lowrank::cli
