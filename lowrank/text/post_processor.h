// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lowrank/text/checked_json.h"
#include "lowrank/text/tokenizer.h"

namespace lowrank::text {

// What a tokenizer does with the tokens of its texts.
struct PostProcessor {
  SequenceTemplate sequence;
  bool trims_spans = false;
};

// Of the member "post_processor" of a tokenizer.json. Throws Error naming a type that is not
// supported, a template without its text, and a special token without an id.
PostProcessor make_post_processor(const CheckedJson& json);

}  // namespace lowrank::text
