// SPDX-License-Identifier: Apache-2.0
#include "lowrank/data/batch.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <set>

#include "lowrank/base/error.h"
#include "lowrank/data/random.h"
#include "lowrank/text/tokenizer_files.h"
#include "tests/support/small_tokenizers.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::data {
namespace {

using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

const auto kTokenizer = text::make_tokenizer("bytes");

std::vector<int64_t> values(const at::Tensor& tensor) {
  const int64_t* begin = tensor.const_data_ptr<int64_t>();
  return {begin, begin + tensor.numel()};
}

// Example i is labeled i and has a length from 1 to 50.
Dataset dataset_of(int64_t count) {
  Random random({99});
  Dataset dataset;
  for (int64_t i = 0; i < count; ++i) {
    const auto letter = static_cast<char>('a' + random.below(26));
    dataset.examples.push_back({.text = std::string(1 + random.below(50), letter),
                                .pair = {},
                                .label = i,
                                .source = "example " + std::to_string(i)});
  }
  return dataset;
}

void expect_equal(const Batch& a, const Batch& b) {
  EXPECT_EQ(values(a.tokens), values(b.tokens));
  EXPECT_EQ(values(a.offsets), values(b.offsets));
  EXPECT_EQ(values(a.labels), values(b.labels));
  EXPECT_EQ(a.indices, b.indices);
}

TEST(Batch, HoldsItsSequencesOneAfterTheOther) {
  const Dataset dataset{.examples = {{.text = "abc", .pair = {}, .label = 1, .source = "x"},
                                     {.text = "d", .pair = {}, .label = 0, .source = "y"}},
                        .classes = {"no", "yes"}};
  Batch batch;
  EvaluationBatches batches(dataset, kTokenizer, {});
  ASSERT_TRUE(batches.next(batch));
  EXPECT_THAT(values(batch.tokens), ::testing::ElementsAre('d', 'a', 'b', 'c'));
  EXPECT_THAT(values(batch.offsets), ::testing::ElementsAre(0, 1, 4));
  EXPECT_THAT(values(batch.labels), ::testing::ElementsAre(0, 1));
  EXPECT_THAT(batch.indices, ::testing::ElementsAre(1, 0));
  EXPECT_FALSE(batch.segments.defined());
  EXPECT_FALSE(batches.next(batch));
}

TEST(Batch, TellsTheTextsOfAPairApart) {
  const Dataset dataset{.examples = {{.text = "ab", .pair = "c", .label = 0, .source = "x"},
                                     {.text = "d", .pair = {}, .label = 0, .source = "y"}},
                        .classes = {}};
  Batch batch;
  ASSERT_TRUE(EvaluationBatches(dataset, kTokenizer, {}).next(batch));
  EXPECT_THAT(values(batch.tokens), ::testing::ElementsAre('d', 'a', 'b', 'c'));
  EXPECT_THAT(values(batch.segments), ::testing::ElementsAre(0, 0, 0, 1));
}

TEST(Batch, HoldsTheTextsOfAPairAsTwoSequencesWhereTheyAreCompared) {
  Dataset dataset{.examples = {{.text = "abcdef", .pair = "gh", .label = 1, .source = "x"},
                               {.text = "i", .pair = "jk", .label = 0, .source = "y"}},
                  .classes = {"no", "yes"}};
  const BatchOptions options{.max_length = 4, .separate_pairs = true};
  Batch batch;
  EvaluationBatches batches(dataset, kTokenizer, options);
  ASSERT_TRUE(batches.next(batch));
  EXPECT_EQ(batch.size(), 2);
  EXPECT_THAT(values(batch.tokens),
              ::testing::ElementsAre('i', 'j', 'k', 'a', 'b', 'c', 'd', 'g', 'h'));
  EXPECT_THAT(values(batch.offsets), ::testing::ElementsAre(0, 1, 3, 7, 9));
  EXPECT_THAT(values(batch.labels), ::testing::ElementsAre(0, 1));
  EXPECT_THAT(batch.indices, ::testing::ElementsAre(1, 0));
  EXPECT_FALSE(batch.segments.defined());
  dataset.examples[1].pair.clear();
  EXPECT_THAT([&] { EvaluationBatches(dataset, kTokenizer, options); },
              ThrowsMessage<Error>(HasSubstr("y: there is one text")));
}

TEST(Batch, HoldsNumbersAsSuch) {
  Dataset dataset{.classes = {"score"}, .label_kind = LabelKind::kNumber};
  dataset.examples = {{.text = "a", .number = 2.5}, {.text = "bc", .number = -1}};
  EvaluationBatches batches(dataset, kTokenizer, {});
  Batch batch;
  ASSERT_TRUE(batches.next(batch));
  ASSERT_EQ(batch.labels.scalar_type(), at::kFloat);
  EXPECT_EQ(batch.labels[0].item<double>(), 2.5);
  EXPECT_EQ(batch.labels[1].item<double>(), -1);
}

TEST(Batch, LabelsTheFirstTokenOfEachWord) {
  Dataset dataset{.classes = {"O", "B-X"}, .label_kind = LabelKind::kTag};
  dataset.examples = {{.text = "ab c", .words = {{0, 2, 1}, {3, 4, 0}}}};
  BatchOptions options;
  options.special_tokens = true;
  EvaluationBatches batches(dataset, kTokenizer, options);
  Batch batch;
  ASSERT_TRUE(batches.next(batch));
  // CLS a b space c SEP
  EXPECT_EQ(values(batch.labels), (std::vector<int64_t>{-100, 1, -100, -100, 0, -100}));
}

TEST(EvaluationBatches, HoldEachExampleOnceFromTheShortestToTheLongest) {
  const Dataset dataset = dataset_of(101);
  EvaluationBatches batches(dataset, kTokenizer, {.batch_size = 7});
  std::vector<int64_t> seen, lengths;
  Batch batch;
  int64_t count = 0;
  while (batches.next(batch)) {
    ++count;
    EXPECT_LE(batch.size(), 7);
    seen.insert(seen.end(), batch.indices.begin(), batch.indices.end());
    EXPECT_EQ(values(batch.labels), batch.indices);
    const std::vector<int64_t> of_batch = values(batch.offsets.diff());
    lengths.insert(lengths.end(), of_batch.begin(), of_batch.end());
  }
  EXPECT_EQ(count, batches.count());
  EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), 101u);
  EXPECT_EQ(seen.size(), 101u);
  EXPECT_TRUE(std::is_sorted(lengths.begin(), lengths.end()));
}

TEST(EvaluationBatches, KeepToTheTokenBudgetUnlessOneSequenceIsLonger) {
  const Dataset dataset = dataset_of(60);
  EvaluationBatches batches(dataset, kTokenizer, {.batch_size = 60, .token_budget = 40});
  Batch batch;
  bool longer = false;
  while (batches.next(batch)) {
    EXPECT_TRUE(batch.total() <= 40 || batch.size() == 1);
    longer |= batch.total() > 40;
  }
  EXPECT_TRUE(longer);
}

TEST(TrainingBatches, HoldEachExampleOnceAnEpoch) {
  const Dataset dataset = dataset_of(53);
  for (const int64_t token_budget : {0, 100}) {
    TrainingBatches batches(dataset, kTokenizer,
                            {.batch_size = 4, .token_budget = token_budget, .bucket = 3});
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
      std::multiset<int64_t> seen;
      for (int64_t left = batches.batches_per_epoch(); left > 0; --left) {
        EXPECT_EQ(batches.state().epoch, epoch);
        const Batch batch = batches.next();
        EXPECT_LE(batch.size(), 4);
        seen.insert(batch.indices.begin(), batch.indices.end());
      }
      EXPECT_EQ(seen.size(), 53u);
      EXPECT_EQ(std::set(seen.begin(), seen.end()).size(), 53u);
      EXPECT_EQ(batches.state().epoch, epoch + 1);
      EXPECT_EQ(batches.state().batch, 0);
    }
  }
}

TEST(TrainingBatches, GoOnWithTheSameBatchesFromAnySavedState) {
  const Dataset dataset = dataset_of(23);
  const BatchOptions options{.batch_size = 4,
                             .token_budget = 120,
                             .max_length = 20,
                             .random_window = 0.5,
                             .masked = true,
                             .bucket = 2,
                             .seed = 5};
  TrainingBatches batches(dataset, kTokenizer, options);
  std::vector<SamplerState> states;
  std::vector<Batch> expected;
  for (int i = 0; i < 20; ++i) {
    states.push_back(batches.state());
    expected.push_back(batches.next());
  }
  ASSERT_GE(states.back().epoch, 2);
  for (size_t start = 0; start < states.size(); ++start) {
    TrainingBatches resumed(dataset, kTokenizer, options, states[start]);
    EXPECT_EQ(resumed.state().batch, states[start].batch);
    for (size_t i = start; i < expected.size(); ++i) expect_equal(resumed.next(), expected[i]);
  }
}

TEST(TrainingBatches, DifferBetweenEpochsAndSeeds) {
  const Dataset dataset = dataset_of(40);
  const auto epoch = [&](uint64_t seed, int64_t number) {
    TrainingBatches batches(dataset, kTokenizer, {.batch_size = 4, .seed = seed},
                            {.epoch = number, .batch = 0});
    std::vector<int64_t> order;
    for (int64_t left = batches.batches_per_epoch(); left > 0; --left) {
      const Batch batch = batches.next();
      order.insert(order.end(), batch.indices.begin(), batch.indices.end());
    }
    return order;
  };
  EXPECT_EQ(epoch(1, 0), epoch(1, 0));
  EXPECT_NE(epoch(1, 0), epoch(1, 1));
  EXPECT_NE(epoch(1, 0), epoch(2, 0));
}

// Sorting runs by length is what makes the sequences of a batch alike.
TEST(TrainingBatches, PutSequencesOfLikeLengthTogether) {
  const Dataset dataset = dataset_of(512);
  TrainingBatches batches(dataset, kTokenizer, {.batch_size = 8, .bucket = 64});
  for (int64_t left = batches.batches_per_epoch(); left > 0; --left) {
    const at::Tensor lengths = batches.next().offsets.diff();
    // 64 batches share 50 lengths evenly, so that one spans few of them.
    EXPECT_LE((lengths.max() - lengths.min()).item<int64_t>(), 4);
  }
}

TEST(TrainingBatches, TakeADatasetSmallerThanABatch) {
  const Dataset dataset = dataset_of(1);
  TrainingBatches batches(dataset, kTokenizer, {.batch_size = 8});
  for (int i = 0; i < 5; ++i) EXPECT_EQ(batches.next().size(), 1);
  EXPECT_EQ(batches.state().epoch, 5);
}

TEST(TrainingBatches, ReadLongExamplesFromRandomPositions) {
  Dataset dataset;
  std::string text;
  for (int i = 0; i < 200; ++i) text += static_cast<char>(i);
  dataset.examples.push_back({.text = text, .pair = {}, .label = 0, .source = "x"});
  const auto starts = [&](double random_window) {
    TrainingBatches batches(dataset, kTokenizer,
                            {.max_length = 10, .random_window = random_window});
    std::multiset<int64_t> result;
    for (int i = 0; i < 300; ++i) {
      const std::vector<int64_t> tokens = values(batches.next().tokens);
      EXPECT_EQ(tokens.size(), 10u);
      EXPECT_EQ(tokens.back() - tokens.front(), 9);
      result.insert(tokens.front());
    }
    return result;
  };
  EXPECT_EQ(starts(0).count(0), 300u);
  // 150 of 300 expected; 5 standard deviations are 43.
  EXPECT_NEAR(static_cast<double>(starts(0.5).count(0)), 150, 43);
  const std::multiset<int64_t> all = starts(1);
  EXPECT_GT(std::set(all.begin(), all.end()).size(), 100u);
  EXPECT_LE(*all.rbegin(), 190);
}

TEST(Batches, NameAnEmptyDataset) {
  const Dataset empty;
  EXPECT_THAT([&] { EvaluationBatches(empty, kTokenizer, {}); },
              ThrowsMessage<Error>(HasSubstr("the dataset has no examples")));
  EXPECT_THAT([&] { TrainingBatches(empty, kTokenizer, {}); },
              ThrowsMessage<Error>(HasSubstr("the dataset has no examples")));
}

TEST(Batches, NameATokenizerWithoutTheMaskThatPredictionNeeds) {
  const testing::TemporaryFolder folder;
  folder.write("tokenizer.json", testing::small_byte_pair().dump());
  const auto tokenizer = text::load_tokenizer(folder.path());
  const Dataset dataset = dataset_of(2);
  EXPECT_THAT([&] { EvaluationBatches(dataset, tokenizer, {.masked = true}); },
              ThrowsMessage<Error>(HasSubstr("the tokenizer has no mask token")));
}

TEST(Batches, NameAnOptionOutOfRange) {
  const Dataset dataset = dataset_of(2);
  const auto message = [&](const BatchOptions& options, const std::string& expected) {
    EXPECT_THAT([&] { EvaluationBatches(dataset, kTokenizer, options); },
                ThrowsMessage<Error>(expected));
  };
  message({.batch_size = 0}, "batch_size = 0; it must be at least 1.");
  message({.token_budget = -1}, "token_budget = -1; it must be 0 or more.");
  message({.max_length = 0}, "max_length = 0; it must be at least 1.");
  message({.on_overflow = "cut"}, "on_overflow = cut; it must be truncate, error or chunk.");
  message({.random_window = 2}, "random_window = 2; it must be from 0 to 1.");
  message({.mask_share = 0}, "mask_share = 0; it must be above 0 and at most 1.");
  message({.bucket = 0}, "bucket = 0; it must be at least 1.");
}

TEST(TrainingBatches, RefuseAStateThatTheDatasetCannotHave) {
  const Dataset dataset = dataset_of(2);
  EXPECT_THAT([&] { TrainingBatches(dataset, kTokenizer, {}, {.epoch = 1, .batch = 7}); },
              ThrowsMessage<Error>(HasSubstr("batch 7 of epoch 1, which has 1 batches")));
}

class Masking : public ::testing::Test {
 protected:
  Masking() {
    for (int64_t i = 0; i < 200; ++i) {
      dataset_.examples.push_back({.text = std::string(static_cast<size_t>(1 + i), 'x'),
                                   .pair = {},
                                   .label = -1,
                                   .source = "x"});
    }
  }

  Dataset dataset_;
  BatchOptions options_{.special_tokens = true, .masked = true};
};

TEST_F(Masking, ChoosesTheShareOfEachSequenceAndAtLeastOneToken) {
  EvaluationBatches batches(dataset_, kTokenizer, options_);
  Batch batch;
  while (batches.next(batch)) {
    const std::vector<int64_t> offsets = values(batch.offsets), labels = values(batch.labels);
    for (size_t i = 0; i < batch.indices.size(); ++i) {
      const auto chosen =
          std::count_if(labels.begin() + offsets[i], labels.begin() + offsets[i + 1],
                        [](int64_t label) { return label != -100; });
      const double length = static_cast<double>(batch.indices[i] + 1);
      EXPECT_EQ(chosen, std::max<int64_t>(1, std::llround(0.15 * length)));
    }
  }
}

TEST_F(Masking, LeavesSpecialTokensAloneAndMakesNoneButMask) {
  EvaluationBatches batches(dataset_, kTokenizer, options_);
  Batch batch;
  while (batches.next(batch)) {
    const std::vector<int64_t> tokens = values(batch.tokens), labels = values(batch.labels);
    const std::vector<int64_t> offsets = values(batch.offsets);
    for (size_t i = 0; i < tokens.size(); ++i) {
      const bool first = std::count(offsets.begin(), offsets.end() - 1, i) > 0;
      const bool last = std::count(offsets.begin(), offsets.end(), i + 1) > 0;
      EXPECT_EQ(first, tokens[i] == kTokenizer->cls());
      EXPECT_EQ(last, tokens[i] == kTokenizer->separator());
      const bool chosen = labels[i] != -100;
      EXPECT_FALSE(chosen && (first || last));
      EXPECT_EQ(chosen ? labels[i] : 'x', 'x');
      EXPECT_TRUE(chosen || first || last || tokens[i] == 'x');
    }
  }
}

TEST_F(Masking, ReplacesEightyTenTen) {
  TrainingBatches batches(dataset_, kTokenizer, options_);
  double chosen = 0, masked = 0, kept = 0;
  while (batches.state().epoch < 5) {
    const Batch batch = batches.next();
    const std::vector<int64_t> tokens = values(batch.tokens), labels = values(batch.labels);
    for (size_t i = 0; i < tokens.size(); ++i) {
      if (labels[i] == -100) continue;
      ++chosen;
      masked += tokens[i] == kTokenizer->mask();
      kept += tokens[i] == 'x';
    }
  }
  // Five standard deviations of a share p of n: 5 sqrt(p (1 - p) / n). Random tokens are 'x' too,
  // one time in 256.
  const double tenth = 0.1 + 0.1 / 256;
  EXPECT_NEAR(masked / chosen, 0.8, 5 * std::sqrt(0.8 * 0.2 / chosen));
  EXPECT_NEAR(kept / chosen, tenth, 5 * std::sqrt(tenth * (1 - tenth) / chosen));
}

TEST_F(Masking, IsTheSameInEachEvaluationAndAnotherInEachEpoch) {
  const auto first_batch = [&](auto&& batches) {
    Batch batch;
    batches.next(batch);
    return batch;
  };
  expect_equal(first_batch(EvaluationBatches(dataset_, kTokenizer, options_)),
               first_batch(EvaluationBatches(dataset_, kTokenizer, options_)));

  Dataset one;
  one.examples.push_back(dataset_.examples[100]);
  TrainingBatches batches(one, kTokenizer, options_);
  EXPECT_NE(values(batches.next().labels), values(batches.next().labels));
}

// Every text is cut in two; about half of them are read with the second part first, and say so.
TEST(SentenceOrder, ReadsHalvesInEitherOrderAndSaysInWhich) {
  Dataset dataset;
  for (int i = 0; i < 200; ++i) {
    dataset.examples.push_back(
        {.text = "aaaa. bbbb", .pair = {}, .label = -1, .source = "x" + std::to_string(i)});
  }
  const BatchOptions options{.special_tokens = true, .masked = true, .sentence_order = true};
  TrainingBatches batches(dataset, kTokenizer, options);
  int64_t swapped = 0;
  for (int64_t step = 0; step < batches.batches_per_epoch(); ++step) {
    const Batch batch = batches.next();
    ASSERT_EQ(batch.order.numel(), batch.size());
    EXPECT_TRUE(batch.segments.defined());
    for (int64_t i = 0; i < batch.size(); ++i) {
      const auto begin = batch.offsets[i].item<int64_t>();
      std::vector<int64_t> tokens =
          values(batch.tokens.slice(0, begin, batch.offsets[i + 1].item<int64_t>()));
      const std::vector<int64_t> labels =
          values(batch.labels.slice(0, begin, batch.offsets[i + 1].item<int64_t>()));
      for (size_t j = 0; j < tokens.size(); ++j) tokens[j] = labels[j] < 0 ? tokens[j] : labels[j];
      const bool is_swapped = batch.order[i].item<int64_t>() == 1;
      EXPECT_EQ(kTokenizer->decode(tokens),
                is_swapped ? "[CLS] bbbb[SEP]aaaa.[SEP]" : "[CLS]aaaa.[SEP] bbbb[SEP]");
      swapped += is_swapped;
    }
  }
  EXPECT_GT(swapped, 70);
  EXPECT_LT(swapped, 130);
}

}  // namespace
}  // namespace lowrank::data
