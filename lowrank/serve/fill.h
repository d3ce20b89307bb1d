// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/serve/reading.h"

namespace lowrank::serve {

// A text with blanks, which are the tokenizer's mask token as its vocabulary writes it: "[MASK]",
// "<mask>". A tokenizer that finds no such names in a text, as "bytes", is made to: each "[MASK]" (its
// name for the token) is a blank, and that spelling cannot be read as text.
//
// Throws Error where there is no blank or no mask token, and as read() does. A truncated text has no
// blanks beyond its end; Overflow::kChunk is an Error, for a blank is guessed from all of its text.
Reading read_blanks(const TextModel& model, const TextInput& input,
                    const PieceOptions& options = {});

// A word for a blank.
struct Guess {
  int64_t id = 0;
  std::string token;       // as the vocabulary writes it: "##s"
  std::string word;        // as it stands in the text: "s"
  double probability = 0;  // of all tokens of the model
  std::string text;        // the whole text with this word in this blank, other blanks left
};

struct Blank {
  text::Span bytes;            // of the text
  std::vector<Guess> guesses;  // the likeliest first
};

// The blanks of each text, each on its own: no guess knows of another. A word that goes on with the
// one before it ("##s") takes the place of the spaces before its blank too. Throws Error for a model of
// another task.
std::vector<std::vector<Blank>> fill(const TextModel& model, const std::vector<Reading>& readings,
                                     int64_t top = 5, const RunOptions& options = {});

}  // namespace lowrank::serve
