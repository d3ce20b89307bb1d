// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/batches.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/support/small_text_model.h"

namespace lowrank::serve {
namespace {

std::vector<Pieces> cut_all(const TextModel& model, const std::vector<int>& lengths,
                            Overflow on_overflow = Overflow::kInterpolate) {
  const PieceCutter cutter(model, {.on_overflow = on_overflow});
  std::vector<Pieces> all;
  for (const int length : lengths) {
    all.push_back(cutter.cut(
        {.text = std::string(static_cast<size_t>(length), static_cast<char>('a' + length % 26))}));
  }
  return all;
}

at::Tensor pooled(models::Model& model, const models::Inputs& inputs) {
  return model.pool(model.encode(inputs), models::Pooling::kMean);
}

TEST(BatchRunner, GivesBackTheOrderOfThePiecesWhateverTheBudget) {
  const TextModel model = testing::small_text_model();
  const std::vector<Pieces> texts = cut_all(model, {20, 3, 70, 31, 1, 200, 8, 71});
  const auto pieces = all_pieces(texts);
  const at::Tensor one_by_one = BatchRunner(model, 1).run(pieces, pooled);
  for (const int64_t budget : {50, 100'000}) {
    const at::Tensor got = BatchRunner(model, budget).run(pieces, pooled);
    EXPECT_LE((got - one_by_one).abs().max().item<double>(), 1e-6);
  }
  const at::Tensor alone = BatchRunner(model).run({pieces[3]}, pooled);
  EXPECT_LE((alone[0] - one_by_one[3]).abs().max().item<double>(), 1e-6);
}

TEST(BatchRunner, CutsTheBatchesToTheBudget) {
  const TextModel model = testing::small_text_model();
  const std::vector<Pieces> texts = cut_all(model, {1, 2, 3, 30, 30, 100});
  BatchRunner runner(model, 20);
  std::vector<int64_t> sizes;
  runner.on_progress([&](int64_t tokens) { sizes.push_back(tokens); });
  runner.run(all_pieces(texts), pooled);
  EXPECT_EQ(sizes, (std::vector<int64_t>{3 + 4 + 5, 32, 32, 102}));
}

TEST(BatchRunner, GivesEachPieceItsRows) {
  const TextModel model = testing::small_text_model();
  const std::vector<Pieces> texts = cut_all(model, {20, 3, 70});
  const auto rows = BatchRunner(model).run_rows(
      all_pieces(texts),
      [](models::Model& m, const models::Inputs& inputs) { return m.encode(inputs).x; });
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[1].sizes(), (std::vector<int64_t>{5, 12}));
  const at::Tensor means = BatchRunner(model).run(all_pieces(texts), pooled);
  for (size_t i = 0; i < 3; ++i) {
    EXPECT_LE((rows[i].mean(0) - means[static_cast<int64_t>(i)]).abs().max().item<double>(), 1e-6);
  }
}

TEST(BatchRunner, ReadsALongPieceWithSpreadPositions) {
  const TextModel model = testing::small_text_model();
  const std::vector<Pieces> texts = cut_all(model, {100});  // 102 tokens: 128 positions
  const at::Tensor got = BatchRunner(model).run(all_pieces(texts), pooled);
  const auto longer = models::with_positions(*model.model, 128, models::PositionRule::kInterpolate);
  longer->eval();
  const text::Encoded& encoded = texts[0].pieces[0].encoded;
  const at::NoGradGuard no_grad;
  const at::Tensor expected =
      pooled(*longer, {at::tensor(encoded.ids), at::tensor({int64_t{0}, int64_t{102}}), {}});
  EXPECT_LE((got - expected).abs().max().item<double>(), 1e-6);
}

TEST(PieceWindow, HandsOnAllTextsInOrderAndNoMoreThanItHolds) {
  const TextModel model = testing::small_text_model();
  std::vector<size_t> groups;
  std::vector<std::string> sources;
  PieceWindow window(1, [&](const std::vector<Pieces>& texts) {
    groups.push_back(texts.size());
    for (const Pieces& text : texts) sources.push_back(text.source);
  });
  const PieceCutter cutter(model, {});
  for (const char* source : {"a", "b", "c"}) {
    window.add(cutter.cut({.text = "fourteen bytes", .source = source}));  // and 16 tokens
  }
  window.flush();
  window.flush();
  EXPECT_EQ(groups, (std::vector<size_t>{2, 1}));
  EXPECT_EQ(sources, (std::vector<std::string>{"a", "b", "c"}));
}

TEST(WeightedMeans, WeighPiecesByTheirTokens) {
  const TextModel model = testing::small_text_model();
  const std::vector<Pieces> texts = cut_all(model, {40, 5}, Overflow::kChunk);  // 31 + 9, 5
  const at::Tensor values = at::tensor({1.0f, 2.0f, 7.0f}).unsqueeze(1);
  const at::Tensor means = weighted_means(values, texts);
  EXPECT_FLOAT_EQ(means[0][0].item<float>(), (31 * 1 + 9 * 2) / 40.0f);
  EXPECT_EQ(means[1][0].item<float>(), 7.0f);
}

}  // namespace
}  // namespace lowrank::serve
