// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/sweep.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/train/learning_curve.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/synthetic.h"

namespace lowrank::train {
namespace {

using lowrank::testing::expect_error;
using lowrank::testing::TemporaryFolder;
using ::testing::ElementsAre;

TEST(ParseAxis, CutsAtCommasThatStandWithinNothing) {
  const SweepAxis numbers = parse_axis("model.layers=1, 2,4");
  EXPECT_EQ(numbers.key, "model.layers");
  EXPECT_THAT(numbers.values, ElementsAre("1", "2", "4"));
  const SweepAxis tables =
      parse_axis(R"(model.attention={ kind = "exact" },{kind="nystrom", landmarks=8})");
  EXPECT_THAT(tables.values,
              ElementsAre(R"({ kind = "exact" })", R"({kind="nystrom", landmarks=8})"));
  EXPECT_THAT(parse_axis(R"(train.output="a,b",[1,2])").values, ElementsAre(R"("a,b")", "[1,2]"));
}

TEST(ParseAxis, NamesWhatIsWrong) {
  for (const char* text : {"model.layers", "=1,2", "model.layers=", "model.layers=1,,2"}) {
    expect_error([&] { parse_axis(text); }, {"--over", text, "key=value,value"});
  }
  expect_error([] { parse_axis("model.layers=1,1"); }, {"1 occurs twice"});
}

class SweepRuns : public ::testing::Test {
 protected:
  SweepRuns() {
    replace_file(
        recipe(),
        "[data]\nmax_length = 64\n[data.classes]\na = \"/a\"\nb = \"/b\"\n[train]\nsteps = 1\n"
        "output = \"" +
            (folder_.path() / "sweep").string() + "\"\n");
  }
  std::filesystem::path recipe() const { return folder_.path() / "recipe.toml"; }
  TemporaryFolder folder_;
};

TEST_F(SweepRuns, AreAllCombinationsTheLastAxisFastest) {
  const auto runs =
      sweep_runs(recipe(), {"model.width=32"},
                 {parse_axis(R"(model.attention={kind="exact"},{kind="nystrom", landmarks=8})"),
                  parse_axis("train.seed=1,2")});
  ASSERT_EQ(runs.size(), 4u);
  EXPECT_THAT(runs[1].labels, ElementsAre("exact", "2"));
  EXPECT_THAT(runs[2].labels, ElementsAre("nystrom landmarks 8", "1"));
  EXPECT_EQ(runs[2].recipe.train.seed, 1);
  EXPECT_EQ(runs[2].recipe.model.width, 32);
  EXPECT_EQ(std::get<NystromOptions>(runs[2].recipe.model.attention[0]).landmarks, 8);
  EXPECT_EQ(runs[2].recipe.train.output,
            (folder_.path() / "sweep" / "attention=nystrom-landmarks-8,seed=1").string());
}

TEST_F(SweepRuns, NameWhatIsWrong) {
  expect_error([&] { sweep_runs(recipe(), {}, {parse_axis("model.layer=1,2")}); },
               {"model.layer", "model.layers"});
  expect_error(
      [&] {
        sweep_runs(recipe(), {}, {parse_axis("train.seed=1"), parse_axis("train.seed=2")});
      },
      {"train.seed", "given twice"});
  expect_error(
      [&] { sweep_runs(recipe(), {}, {parse_axis("train.precision=float32,\"float32\"")}); },
      {"two runs", "precision=float32"});
}

// What ended is not trained again, what was interrupted goes on.
TEST(TrainOrResume, GoesOnWhereTheRunIs) {
  const TemporaryFolder folder;
  const data::Splits splits = lowrank::testing::make_splits();
  Recipe recipe = lowrank::testing::tiny_recipe(folder.path() / "run");
  Watcher watcher;
  std::atomic<bool> stop = true;
  EXPECT_EQ(train_or_resume(recipe, splits, watcher, stop).ended, Ended::kInterrupted);
  stop = false;
  const TrainResult whole = train_or_resume(recipe, splits, watcher, stop);
  EXPECT_EQ(whole.ended, Ended::kDone);
  const auto curve = learning_curve(recipe.train.output);
  ASSERT_FALSE(curve.empty());
  EXPECT_EQ(curve.back().step, whole.steps);
  const TrainResult again = train_or_resume(recipe, splits, watcher, stop);
  EXPECT_EQ(again.steps, whole.steps);
  EXPECT_EQ(learning_curve(recipe.train.output).size(), curve.size());
}

}  // namespace
}  // namespace lowrank::train
