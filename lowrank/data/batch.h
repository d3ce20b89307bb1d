// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lowrank/data/dataset.h"
#include "lowrank/text/tokenizer.h"

namespace lowrank::data {

inline constexpr int64_t kNoLoss = -100;  // the label of a token that has none

// A ragged batch: the tokens of all sequences one after the other.
struct Batch {
  at::Tensor tokens;    // [total] int64
  at::Tensor offsets;   // [b + 1] int64
  at::Tensor segments;  // [total] int64, 0 for the first text, 1 for the pair; or undefined
  // [b] int64 class, or [b] float32 number; masked language model and tags: [total] int64, or kNoLoss.
  // A tag stands at the first token of its word.
  at::Tensor labels;
  at::Tensor order;  // [b] int64, 1 where texts were swapped; undefined without sentence_order
  // Of the examples in their dataset; half as many as sequences where a pair is two.
  std::vector<int64_t> indices;

  int64_t size() const { return static_cast<int64_t>(indices.size()); }  // examples
  int64_t total() const { return tokens.numel(); }
};

struct BatchOptions {
  int64_t batch_size = 8;      // most sequences of a batch
  int64_t token_budget = 0;    // most tokens of a batch, unless it is one longer sequence; 0: none
  int64_t max_length = 16384;  // tokens kept of a sequence, special tokens included
  // Of longer examples: "truncate"; "error" names the source and both lengths; "chunk" asks for
  // chunk() below first, and what that leaves longer (pairs) is an error.
  std::string on_overflow = "truncate";
  bool special_tokens = false;  // around the texts, as the tokenizer's template says
  double random_window = 0;     // training: share of longer examples read from a random position
  bool masked = false;          // masked language model
  bool separate_pairs = false;  // a pair is two sequences of their own, one after the other
  double mask_share = 0.15;     // of the tokens; of these 80 % MASK, 10 % random, 10 % kept
  // Masked language model: each text is cut in two near its middle, at the end of a sentence where there
  // is one, and the halves are read as a pair, one time in two in the wrong order.
  bool sentence_order = false;
  int64_t bucket = 64;  // batches are cut from runs of this many batches sorted by length
  uint64_t seed = 0;
};

// The ids of one example as a batch holds them, without masking. A pair is cut at its longer text
// first. `random_state` (0: from the start) chooses where a longer text that is no pair is read; one of
// labelled words is always read from its start.
struct EncodedExample {
  std::vector<int64_t> tokens;
  std::vector<int64_t> segments;  // empty where there is no pair
  std::vector<int64_t> labels;    // of each token, as in Batch; empty unless the example has words
  bool truncated = false;         // the texts have more tokens than these
};
EncodedExample encode(const Example& example, const text::Tokenizer& tokenizer,
                      const BatchOptions& options, uint64_t random_state = 0);

// The sequences that a batch holds of one example: encode()'s, or with separate_pairs one of each text,
// where max_length is that of each. Throws Error for an example without a pair then.
std::vector<EncodedExample> encode_sequences(const Example& example,
                                             const text::Tokenizer& tokenizer,
                                             const BatchOptions& options,
                                             uint64_t random_state = 0);

// The text in two parts, both not empty unless it is of one character: cut after the end of a sentence
// or the line that is nearest to the middle, if that is in the middle half; else between two words, else
// between two characters.
std::pair<std::string_view, std::string_view> halves(std::string_view text);

// The dataset with every text longer than max_length cut into consecutive examples of at most that
// length with the same label and source, which together are the text byte for byte. Pairs and labelled
// words stay whole, and so does a character of more tokens than fit.
Dataset chunk(const Dataset& dataset, const text::Tokenizer& tokenizer,
              const BatchOptions& options);

// The texts one after the other, a blank line between, and that cut as chunk() does: all examples but
// the last of a MiB or so have max_length tokens, and go on over the ends of documents. Throws Error for
// pairs. Labels are left behind.
Dataset pack(const Dataset& dataset, const text::Tokenizer& tokenizer, const BatchOptions& options);

// Batches for evaluation: each example once, from the shortest to the longest, masked as in epoch 0,
// the same whenever dataset and options are. `indices` says which example a row is. The dataset must
// outlive them.
class EvaluationBatches {
 public:
  EvaluationBatches(const Dataset& dataset, std::shared_ptr<const text::Tokenizer> tokenizer,
                    const BatchOptions& options);
  ~EvaluationBatches();
  int64_t count() const;
  bool next(Batch& batch);  // false at the end

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Where a TrainingBatches stands: batches already handed out. Two of equal dataset, options and
// position go on with the same batches, to the bit.
struct SamplerState {
  int64_t epoch = 0;
  int64_t batch = 0;  // within the epoch
};

// Endless shuffled batches with prefetch in a thread: each example once an epoch. The content of batch
// i of epoch e depends only on (dataset, options, e, i), never on timing. The dataset must outlive them.
class TrainingBatches {
 public:
  TrainingBatches(const Dataset& dataset, std::shared_ptr<const text::Tokenizer> tokenizer,
                  const BatchOptions& options, SamplerState start = {});
  ~TrainingBatches();
  Batch next();                       // rethrows what the prefetch thread met
  SamplerState state() const;         // after the batches that next() returned
  int64_t batches_per_epoch() const;  // of the epoch of state(): a token budget lets it vary

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace lowrank::data
