// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace lowrank::text {

struct WordPieceOptions {
  int64_t size = 8192;             // most tokens of the vocabulary, the five special ones included
  bool lowercase = true;           // and without accents, as BERT's uncased models read
  int64_t most_characters = 1000;  // distinct ones that are kept, the most frequent; others: [UNK]
};

// A WordPiece vocabulary made of texts: the lines of a vocab.txt. Texts are normalized and cut into
// words as BERT does; pieces are those that SentencePiece's byte pair encoding merges in the words, the
// most frequent first, and "##" stands before a piece that does not begin a word. [PAD], [UNK], [CLS],
// [SEP] and [MASK] come first, then the characters. `next` gives a text at a time, false at the end.
//
// Throws Error where the texts have no words, or the characters alone are more than `size`.
std::vector<std::string> learn_word_pieces(const std::function<bool(std::string&)>& next,
                                           const WordPieceOptions& options = {});

}  // namespace lowrank::text
