// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

#include "lowrank/cli/console.h"
#include "lowrank/text/learn_word_pieces.h"

namespace CLI {
class App;
}

namespace lowrank::cli {

// lowrank vocabulary FOLDER TEXT...: makes a tokenizer of WordPiece out of texts.
struct VocabularyFlags {
  std::string folder;
  std::vector<std::string> texts;  // files and folders
  text::WordPieceOptions pieces;
  bool cased = false;
};

void add(CLI::App& app, VocabularyFlags& flags);
int run(const VocabularyFlags& flags, const Console& console);

}  // namespace lowrank::cli
