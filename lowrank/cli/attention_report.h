// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

#include "lowrank/base/config.h"
#include "lowrank/io/plot.h"
#include "lowrank/text/tokenizer.h"

namespace lowrank::cli {

// A place of a sequence: a token, or the tokens of a patch.
struct AttentionPlace {
  std::string token;  // as it is shown: its text, or a special token's name
  text::Span bytes;   // of the file; empty where the token is none of its text
  bool is_text = true;
};

// How much of each place there is in something: a row, a column or a rollout.
struct AttentionVector {
  std::string name;             // "row 0 [CLS]"
  std::vector<double> weights;  // one a place

  double sum() const;
  double largest() const;         // by magnitude
  double negative_share() const;  // of the entries
};

struct AttentionReport {
  std::string title;  // "layer 3, mean of 12 heads, nystrom with 64 landmarks"
  std::string text;   // the file
  std::vector<AttentionPlace> places;
  std::vector<AttentionVector> vectors;
  std::vector<std::string> notes;
};

// The `top` places of each vector by magnitude, with their bytes and texts.
void print(const AttentionReport& report, int64_t top, std::ostream& out);

Json to_json(const AttentionReport& report);

// place,token,begin_byte,end_byte and a column a vector; a line a place.
std::string to_csv(const AttentionReport& report);

// A page of its own: the text, a background behind each token by its weight, once for each vector. Blue
// above zero, orange below. Text is escaped; bytes that are no UTF-8 become U+FFFD.
std::string to_html(const AttentionReport& report);

// One vector: its tokens in rows, as one reads, their texts in the cells. Several: a row each. Where the
// places are more than fit, a cell is the sum of a run of them. The color goes with the square root of the
// weight, of each vector's largest: what every token reads, such as CLS, would leave the others white.
io::MatrixPlot to_plot(const AttentionReport& report);

}  // namespace lowrank::cli
