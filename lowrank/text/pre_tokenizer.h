// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <vector>

#include "lowrank/text/aligned_text.h"
#include "lowrank/text/checked_json.h"

namespace lowrank::text {

// A step that splits normalized texts into the words that the model spells with its pieces.
class PreTokenizer {
 public:
  virtual ~PreTokenizer() = default;
  virtual void split(std::vector<AlignedText>& words) const = 0;

  // Whether its first cut is at every space, which it leaves out, and the parts on both sides are then
  // split as they would be alone.
  virtual bool splits_at_spaces() const { return false; }
  // The same of ASCII punctuation, each mark of which is a word.
  virtual bool isolates_punctuation() const { return false; }
  // Whether it is GPT-2's pattern and nothing else, and whether a space is put before the text.
  virtual bool is_byte_level_pattern() const { return false; }
  virtual bool adds_prefix_space() const { return false; }
  // Whether words are bytes, which the model's pieces are written for (byte_level.h).
  virtual bool is_byte_level() const { return false; }
};

// Of the member "pre_tokenizer" of a tokenizer.json. Throws Error naming a type that is not supported.
std::unique_ptr<PreTokenizer> make_pre_tokenizer(const CheckedJson& json);

}  // namespace lowrank::text
