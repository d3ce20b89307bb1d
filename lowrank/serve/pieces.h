// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "lowrank/serve/read_texts.h"
#include "lowrank/serve/text_model.h"
#include "lowrank/text/encode.h"

namespace lowrank::serve {

// What becomes of a text that is longer than a model takes.
//
//   kError        it is refused
//   kTruncate     its end is left away
//   kChunk        windows of max_length tokens, each with its special tokens, are read one by one
//   kInterpolate  it is read in one pass, by a model whose positions are spread over its length
enum class Overflow { kError, kTruncate, kChunk, kInterpolate };

// "error", "truncate", "chunk", "interpolate"; throws Error for another name.
Overflow overflow_of(const std::string& name);

// How messages name options, where whoever reads them knows these under other names.
struct OptionWords {
  std::string on_overflow = "on_overflow";
  std::string max_length = "max_length";
  bool offers_chunks = true;  // whether kChunk is a way out there
};

struct PieceOptions {
  Overflow on_overflow = Overflow::kError;
  int64_t max_length = 0;  // tokens of a sequence, special ones included; 0: what the model takes
  int64_t stride = 0;      // kChunk: tokens that a window shares with the one before it
  text::Truncation truncation = text::Truncation::kLongestFirst;  // of a pair
  bool special_tokens = true;  // around the texts, as the tokenizer's template says
  OptionWords words = {};
};

// A sequence that a model reads, which is a text or a part of it.
struct Piece {
  text::Encoded encoded;
  int64_t weight = 0;  // its tokens of text, special ones left out; at least 1
};

// A text ready for a model.
struct Pieces {
  std::string source;
  std::vector<Piece> pieces;  // at least one
  bool truncated = false;     // the text has more tokens
  int64_t tokens() const;     // of all pieces, special ones included
};

// Cuts texts for one model.
class PieceCutter {
 public:
  // Throws Error for a max_length beyond the model's (kInterpolate aside), or without room for text.
  PieceCutter(const TextModel& model, const PieceOptions& options);

  // Throws Error naming the source: for a text without tokens, and for one that is too long under kError
  // (found and allowed length). Under kInterpolate max_length, where it is set, is the limit.
  Pieces cut(const TextInput& input) const;

  // The same of several texts that a model reads side by side, a piece each; not for kChunk.
  Pieces cut_whole(const std::vector<TextInput>& inputs) const;

 private:
  std::vector<text::Encoded> encode(const TextInput& input) const;

  std::shared_ptr<const text::Tokenizer> tokenizer_;
  PieceOptions options_;
  int64_t limit_ = 0;  // 0: none
};

}  // namespace lowrank::serve
