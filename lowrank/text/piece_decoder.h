// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "lowrank/text/checked_json.h"

namespace lowrank::text {

// A step from the pieces of a text back to the text: rewrites, joins or leaves out pieces. What is
// left at the end is put together.
class PieceDecoder {
 public:
  virtual ~PieceDecoder() = default;
  virtual void apply(std::vector<std::string>& pieces) const = 0;
};

// Of the member "decoder" of a tokenizer.json. Throws Error naming a type that is not supported.
std::unique_ptr<PieceDecoder> make_piece_decoder(const CheckedJson& json);

}  // namespace lowrank::text
