// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "lowrank/text/aligned_text.h"
#include "lowrank/text/checked_json.h"

namespace lowrank::text {

// A step that rewrites a text before it is split into words.
class Normalizer {
 public:
  virtual ~Normalizer() = default;
  virtual void apply(AlignedText& text) const = 0;

  // Whether words between spaces come out alike together and alone, as long as no character joins the
  // space (a combining mark after it). What becomes of the spaces themselves does not count.
  virtual bool treats_words_alone() const { return true; }
  // The same for the parts on both sides of an ASCII punctuation mark.
  virtual bool treats_punctuation_alone() const { return false; }
};

// Of the member "normalizer" of a tokenizer.json. Throws Error naming a type that is not supported.
std::unique_ptr<Normalizer> make_normalizer(const CheckedJson& json);

}  // namespace lowrank::text
