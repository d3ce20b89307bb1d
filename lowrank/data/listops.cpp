// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/listops.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>
#include <optional>
#include <vector>

#include "lowrank/base/error.h"

namespace lowrank::data {
namespace {

constexpr std::array<std::string_view, 4> kOperators = {"[MIN", "[MAX", "[MED", "[SM"};
constexpr std::string_view kEnd = "]";

int64_t apply(size_t operation, std::vector<int64_t>& arguments) {
  switch (operation) {
    case 0:
      return *std::min_element(arguments.begin(), arguments.end());
    case 1:
      return *std::max_element(arguments.begin(), arguments.end());
    case 2: {
      std::sort(arguments.begin(), arguments.end());
      const size_t half = arguments.size() / 2;
      return arguments.size() % 2 == 1 ? arguments[half]
                                       : (arguments[half - 1] + arguments[half]) / 2;
    }
    default:
      return std::accumulate(arguments.begin(), arguments.end(), int64_t{0}) % 10;
  }
}

std::optional<size_t> operator_of(std::string_view symbol) {
  const auto found = std::find(kOperators.begin(), kOperators.end(), symbol);
  if (found == kOperators.end()) return std::nullopt;
  return static_cast<size_t>(found - kOperators.begin());
}

// Reads symbol by symbol: any depth takes as little stack as none.
class Reader {
 public:
  explicit Reader(std::string_view text) : text_(text) {}

  int64_t value() {
    for (std::string_view symbol = next(); !symbol.empty(); symbol = next()) take(symbol);
    if (!open_.empty()) fail(fmt::format("{} is not closed", kOperators[open_.back().operation]));
    if (!result_) fail("there is no expression");
    return *result_;
  }

 private:
  struct List {
    size_t operation = 0;
    std::vector<int64_t> arguments = {};
  };

  // The next symbol that is no parenthesis; empty at the end.
  std::string_view next() {
    constexpr std::string_view kSpace = " \t\r\n";
    while (true) {
      const size_t begin = text_.find_first_not_of(kSpace, end_);
      if (begin == std::string_view::npos) return {};
      begin_ = begin;
      end_ = std::min(text_.find_first_of(kSpace, begin), text_.size());
      const std::string_view symbol = text_.substr(begin, end_ - begin);
      if (symbol != "(" && symbol != ")") return symbol;
    }
  }

  void take(std::string_view symbol) {
    if (result_) fail(fmt::format("\"{}\" follows the expression", symbol));
    if (const auto operation = operator_of(symbol)) {
      open_.push_back({.operation = *operation});
    } else if (symbol == kEnd) {
      if (open_.empty()) fail("\"]\" closes nothing");
      List list = std::move(open_.back());
      open_.pop_back();
      if (list.arguments.empty())
        fail(fmt::format("{} has no arguments", kOperators[list.operation]));
      give(apply(list.operation, list.arguments));
    } else if (symbol.size() == 1 && symbol[0] >= '0' && symbol[0] <= '9') {
      give(symbol[0] - '0');
    } else {
      fail(fmt::format("\"{}\" is no symbol; these are 0 to 9, [MIN, [MAX, [MED, [SM and ]",
                       symbol));
    }
  }

  void give(int64_t value) {
    if (open_.empty()) {
      result_ = value;
    } else {
      open_.back().arguments.push_back(value);
    }
  }

  [[noreturn]] void fail(const std::string& fact) const {
    throw Error(fmt::format("listops: byte {}: {}. Mend the expression.", begin_, fact));
  }

  std::string_view text_;
  size_t begin_ = 0, end_ = 0;  // of the last symbol
  std::vector<List> open_;
  std::optional<int64_t> result_;
};

// Draws one expression, and gives up as soon as it is too long: most of those that grow at all are.
class Growth {
 public:
  Growth(const ListOpsOptions& options, Random& random) : options_(options), random_(random) {}

  // False where it has too many symbols.
  bool grow() {
    example_.value = expression(1);
    return example_.length < options_.max_length;
  }

  ListOpsExample& example() { return example_; }

 private:
  bool too_long() const { return example_.length >= options_.max_length; }

  int64_t expression(int64_t depth) {
    if (too_long()) return 0;
    const bool nested = depth < options_.max_depth && random_.uniform() < options_.nesting;
    return nested ? list(depth) : digit();
  }

  int64_t digit() {
    const auto value = static_cast<int64_t>(random_.below(10));
    write(fmt::format("{}", value));
    ++example_.length;
    return value;
  }

  // An operator and its arguments are pairs of pairs: "( ( ( [MAX" 8 ")" 5 ")" "] )".
  int64_t list(int64_t depth) {
    const auto count = 2 + random_.below(static_cast<uint64_t>(options_.max_arguments) - 1);
    const auto operation = static_cast<size_t>(random_.below(kOperators.size()));
    for (uint64_t i = 0; i <= count; ++i) write("(");
    write(kOperators[operation]);
    example_.length += 2;
    example_.depth = std::max(example_.depth, depth);
    std::vector<int64_t> arguments;
    for (uint64_t i = 0; i < count; ++i) {
      arguments.push_back(expression(depth + 1));
      write(")");
    }
    write(kEnd);
    write(")");
    return apply(operation, arguments);
  }

  void write(std::string_view symbol) {
    if (too_long()) return;
    if (!example_.expression.empty()) example_.expression += ' ';
    example_.expression += symbol;
  }

  const ListOpsOptions& options_;
  Random& random_;
  ListOpsExample example_;
};

}  // namespace

int64_t value_of_listops(std::string_view expression) { return Reader(expression).value(); }

void check(const ListOpsOptions& options) {
  const auto require = [](bool met, const std::string& fact) {
    if (!met) throw Error("listops: " + fact);
  };
  require(options.min_length >= 0 && options.max_length > options.min_length + 1,
          fmt::format("min_length = {}, max_length = {}; lengths are between them. Leave room.",
                      options.min_length, options.max_length));
  require(options.max_depth >= 1 && options.max_depth <= 1000,
          fmt::format("max_depth = {}; it must be from 1 to 1000.", options.max_depth));
  require(options.max_arguments >= 2 && options.max_arguments <= 1000,
          fmt::format("max_arguments = {}; it must be from 2 to 1000.", options.max_arguments));
  require(options.nesting > 0 && options.nesting <= 1,
          fmt::format("nesting = {}; it must be above 0 and at most 1.", options.nesting));
  constexpr int kTries = 20'000;
  Random random({0});
  for (int i = 0; i < kTries; ++i) {
    Growth growth(options, random);
    if (growth.grow() && growth.example().length > options.min_length) return;
  }
  throw Error(fmt::format(
      "listops: none of {} expressions has more than {} and fewer than {} symbols at a "
      "depth of {} with {} arguments. Allow other lengths, or more depth.",
      kTries, options.min_length, options.max_length, options.max_depth, options.max_arguments));
}

ListOpsExample draw_listops(const ListOpsOptions& options, Random& random) {
  while (true) {
    Growth growth(options, random);
    if (growth.grow() && growth.example().length > options.min_length) {
      return std::move(growth.example());
    }
  }
}

}  // namespace lowrank::data
