// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "lowrank/data/random.h"

namespace lowrank::data {

// ListOps (Nangia and Bowman 2018, arXiv:1804.06028) as Long Range Arena makes it (arXiv:2011.04006):
// expressions of nested lists and their values.
//
//   expression   a digit 0 to 9, or [MIN | [MAX | [MED | [SM, two or more expressions, ]
//   value        smallest, largest, median rounded down, sum modulo 10
//
// Symbols stand between spaces. Long Range Arena writes parentheses around pairs, "( ( ( [MAX 8 ) 5 ) ] )"
// for "[MAX 8 5 ]": they say nothing and are no symbols.

// The value. Throws Error, naming the symbol's place, for a text that is no expression.
int64_t value_of_listops(std::string_view expression);

// An expression grows from its root: at a depth below max_depth it is a list with probability `nesting`,
// else a digit, all ten alike; a list has an operator, all four alike, and 2 to max_arguments arguments,
// all numbers alike. Expressions are drawn until one has more than min_length and fewer than max_length
// symbols, brackets counted.
struct ListOpsOptions {
  int64_t min_length = 500;
  int64_t max_length = 2000;
  int64_t max_depth = 10;  // of the root 1
  int64_t max_arguments = 10;
  double nesting = 0.25;
};

// Throws Error where the options let no expression through, or hardly any.
void check(const ListOpsOptions& options);

struct ListOpsExample {
  std::string expression;  // with Long Range Arena's parentheses
  int64_t length = 0;      // symbols
  int64_t depth = 0;       // of the deepest list; a digit has 0
  int64_t value = 0;
};

ListOpsExample draw_listops(const ListOpsOptions& options, Random& random);

}  // namespace lowrank::data
