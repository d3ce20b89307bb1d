// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace lowrank::train {

// train.metric: what makes one evaluation better than another.
enum class Metric {
  kDefault,  // as the data has it: of GLUE its task's, of tags span_f1 or accuracy, of numbers pearson, of
             // masked tokens loss, else accuracy
  kAccuracy,
  kF1,  // of the second of two classes, which is the positive one
  kMacroF1,
  kMatthews,
  kPearson,
  kSpearman,
  kSpanF1,
  kLoss,
};
const std::vector<std::pair<std::string, Metric>>& metric_names();

// Counts of examples, [true class][predicted class]; square.
using Confusion = std::vector<std::vector<int64_t>>;

// Definitions as scikit-learn's with zero_division = 0. With t_k the examples of class k, p_k those that
// were called so, h_k the hits (both) and s all of them:
//
//   accuracy      sum h_k / s
//   precision     h_k / p_k                recall   h_k / t_k
//   f1            2 h_k / (t_k + p_k)      0 where the class occurs in neither
//   macro_f1      mean of f1 over the classes that occur, in truth or predicted
//   micro_f1      f1 of all hits: the accuracy, as each example has one class
//   weighted_f1   sum t_k f1 / s
//   matthews      (s sum h_k - sum t_k p_k) / sqrt((s^2 - sum t_k^2) (s^2 - sum p_k^2)); 0 where the
//                 root is
double accuracy(const Confusion& confusion);
double precision(const Confusion& confusion, size_t k);
double recall(const Confusion& confusion, size_t k);
double f1(const Confusion& confusion, size_t k);
double macro_f1(const Confusion& confusion);
double micro_f1(const Confusion& confusion);
double weighted_f1(const Confusion& confusion);
double matthews(const Confusion& confusion);

// Correlation of two lists of one length: Pearson's of the values, Spearman's of their ranks, where
// equal values share the mean of theirs. NaN where a list is constant or shorter than two.
double pearson(std::span<const double> x, std::span<const double> y);
double spearman(std::span<const double> x, std::span<const double> y);
double mean_squared_error(std::span<const double> x, std::span<const double> y);

// A labelled run of words, [first, last].
struct WordSpan {
  std::string label;
  size_t first = 0, last = 0;
  auto operator<=>(const WordSpan&) const = default;
};

// The spans that tags such as B-PER, I-PER and O name, as seqeval and conlleval read IOB2 by default: a span
// begins at B-, and at an I- that does not continue the label before it.
std::vector<WordSpan> spans_of(const std::vector<std::string>& tags);

// Whether tags are of that form: each is O, or a letter of B I E S, a hyphen and a label.
bool are_span_tags(const std::vector<std::string>& tags);

// Counts of spans over all sentences; one is a hit where label, first and last word agree.
struct SpanScore {
  int64_t hits = 0, of_truth = 0, predicted = 0;
  void add(const std::vector<std::string>& truth, const std::vector<std::string>& predicted);
  double precision() const;
  double recall() const;
  double f1() const;
};

}  // namespace lowrank::train
