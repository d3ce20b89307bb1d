// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/lra_command.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "lowrank/base/file.h"
#include "lowrank/cli/lra_results.h"
#include "lowrank/train/recipe.h"
#include "tests/cli/signal_on.h"
#include "tests/cli/tiny_task.h"

namespace lowrank::testing {
namespace {

using ::testing::ContainsRegex;
using ::testing::HasSubstr;
using ::testing::Not;

const std::filesystem::path kRecipes = LOWRANK_RECIPES;

// Small data of every task, and the recipes of the project with a model that learns it in a second.
class Arena : public ::testing::Test {
 protected:
  void SetUp() override {
    for (const char* set : {"listops", "pathfinder"}) {
      const Ran ran = lowrank({"generate", set, data() + "/" + set, "--train", "20", "--validation",
                               "6", "--test", "6", "--min-length", "5", "--max-length", "40"});
      ASSERT_EQ(ran.status, 0) << ran.err;
    }
    const std::string images = read_file(data() + "/pathfinder/train.bin");
    std::string batch;  // five of them are more than the 5,000 that the recipe validates on
    while (batch.size() <= 1010u * 1025) batch += images;
    for (int i = 1; i <= 5; ++i)
      folder_.write(fmt::format("data/image/data_batch_{}.bin", i), batch);
    folder_.write("data/image/test_batch.bin", images);
    for (const char* name : {"train", "test"}) {
      std::string reviews;  // label, number, rating, text
      for (int i = 0; i < 80; ++i) {
        reviews += fmt::format("{}\t{}\t5\t{} {} {} of {}\n", i % 2, i, i % 2 ? "good" : "bad", i,
                               i * i, name);
      }
      folder_.write(fmt::format("data/text/{}.tsv", name), reviews);
    }
    for (const char* name : {"train", "eval", "test"}) {
      std::string pairs;  // label, two names, two texts
      for (int i = 0; i < 8; ++i) {
        pairs += fmt::format("{}.0\tA{}\tB{}\tpaper {} {}\tpaper {}\n", i % 2, i, i, i, name,
                             i % 2 ? i : i + 9);
      }
      folder_.write(fmt::format("data/retrieval/new_aan_pairs.{}.tsv", name), pairs);
    }
  }

  std::string data() const { return (folder_.path() / "data").string(); }
  std::string output() const { return (folder_.path() / "runs").string(); }

  std::vector<std::string> command(const std::string& tasks, const std::string& kinds,
                                   const std::string& share = "0.0005") const {
    std::vector<std::string> arguments = {"lra",
                                          "--tasks",
                                          tasks,
                                          "--kinds",
                                          kinds,
                                          "--share",
                                          share,
                                          "--data",
                                          data(),
                                          "--output",
                                          output(),
                                          "--landmarks",
                                          "8",
                                          "--projected",
                                          "8",
                                          "--recipes",
                                          kRecipes / "lra",
                                          "--evaluations",
                                          "2",
                                          "--evaluate-most",
                                          "6"};
    for (const char* setting : {"model.width=8", "model.feed_forward=8", "model.head_width=8",
                                "train.batch_size=4", "train.log_every=1", "train.threads=1"}) {
      arguments.insert(arguments.end(), {"--set", setting});
    }
    return arguments;
  }

 private:
  TemporaryFolder folder_;
};

TEST_F(Arena, RunsEveryTaskWithEveryKindAndPutsThePublishedTableBesideIt) {
  std::vector<std::string> arguments =
      command("listops,text,retrieval,image,pathfinder", "exact,nystrom,linformer", "0.0001");
  arguments.insert(arguments.end(), {"--json", output() + "/lra.json"});
  const Ran ran = lowrank(arguments);
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, HasSubstr("Nystromformer"));
  EXPECT_THAT(ran.out, ContainsRegex("Linformer +37.25 +55.91 +79.37 +37.84 +67.60 +55.59"));
  for (const char* kind : {"exact", "nystrom 8", "linformer 8"}) {
    EXPECT_THAT(ran.out, ContainsRegex(std::string(kind) + ", here( +[0-9.]+){6}"));
  }
  const Json json = parse_json(read_file(output() + "/lra.json"), "lra.json");
  EXPECT_EQ(json["runs"].size(), 15u);
  EXPECT_EQ(json["published"]["Standard"]["pathfinder"], 74.16);
  for (const Json& one : json["runs"]) {
    EXPECT_GT(one["seconds_per_step"], 0);
    EXPECT_FALSE(one["curve"].empty());
  }
}

TEST_F(Arena, LeavesFinishedRunsAndGoesOnWhereMoreStepsAreAsked) {
  ASSERT_EQ(lowrank(command("listops", "nystrom")).status, 0);
  const std::string weights = output() + "/listops/nystrom_8/last/model.safetensors";
  const std::string before = read_file(weights);
  const Ran again = lowrank(command("listops", "nystrom"));
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_THAT(again.err, HasSubstr("listops, nystrom 8: done before"));
  EXPECT_THAT(again.err, Not(HasSubstr("step 1 ")));
  EXPECT_EQ(read_file(weights), before);
  const Ran more = lowrank(command("listops", "nystrom", "0.001"));
  ASSERT_EQ(more.status, 0) << more.err;
  EXPECT_THAT(more.err, HasSubstr("step 5 "));
  EXPECT_THAT(more.err, Not(HasSubstr("step 1 ")));
}

TEST_F(Arena, IsInterruptedWithTheStateSavedAndGoesOn) {
  SignalOn buffer("step 2 ", SIGINT);
  std::ostream err(&buffer);
  std::istringstream in;
  std::ostringstream out;
  EXPECT_EQ(cli::run_program(command("listops", "exact", "0.001"), {in, out, err}), 130);
  EXPECT_THAT(buffer.str(), HasSubstr("lowrank lra: interrupted after 0 runs; the state is saved"));
  const Ran ran = lowrank(command("listops", "exact", "0.001"));
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.err, HasSubstr("step 3 "));
  EXPECT_THAT(ran.err, Not(HasSubstr("step 1 ")));
}

TEST_F(Arena, NamesWhatIsMissing) {
  std::vector<std::string> arguments = command("listops", "exact");
  arguments[8] = "/nowhere";
  const Ran ran = lowrank(arguments);
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("/nowhere/listops/basic_train.tsv"));
  EXPECT_EQ(lowrank({"lra", "--tasks", "chess"}).status, 2);
  EXPECT_EQ(lowrank({"lra", "--share", "2"}).status, 2);
}

// The published settings: what upstream's configuration has.
TEST(LraRecipes, HaveThePublishedSettings) {
  struct Published {
    int64_t steps, warmup, batch, every, positions;
  };
  const std::map<std::string, Published> published = {{"listops", {5000, 1000, 32, 50, 2048}},
                                                      {"text", {20000, 8000, 32, 500, 4096}},
                                                      {"retrieval", {30000, 800, 32, 300, 4096}},
                                                      {"image", {35000, 175, 256, 175, 1024}},
                                                      {"pathfinder", {62400, 312, 256, 312, 1024}}};
  for (const std::string& task : cli::kLraTasks) {
    const train::Recipe recipe = train::load_recipe(kRecipes / "lra" / (task + ".toml"));
    const Published& expected = published.at(task);
    EXPECT_EQ(recipe.train.steps, expected.steps) << task;
    EXPECT_NEAR(recipe.train.warmup * static_cast<double>(expected.steps),
                static_cast<double>(expected.warmup), 0.1);
    EXPECT_EQ(recipe.train.batch_size, expected.batch) << task;
    EXPECT_EQ(recipe.train.evaluate_every, expected.every) << task;
    EXPECT_EQ(recipe.train.learning_rate, 1e-4);
    EXPECT_EQ(recipe.train.betas[1], 0.999);
    EXPECT_EQ(recipe.train.epsilon, 1e-6);
    EXPECT_EQ(recipe.train.weight_decay, 0);
    EXPECT_EQ(recipe.train.schedule, train::Schedule::kOneCycle);
    EXPECT_EQ(recipe.model.layers, 2);
    EXPECT_EQ(recipe.model.width, 64);
    EXPECT_EQ(recipe.model.heads, 2);
    EXPECT_EQ(recipe.model.feed_forward, 128);
    EXPECT_EQ(recipe.model.head_width, 128);
    EXPECT_EQ(recipe.model.dropout, 0.1);
    EXPECT_EQ(recipe.model.embeddings.max_positions, expected.positions);
  }
}

TEST(LraResult, ReadsBackWhatItWrites) {
  cli::LraResult result{.task = "text", .kind = "exact", .steps = 3, .published_steps = 300};
  result.seconds_per_step = 0.5;
  result.curve = {{.step = 3, .seconds = 2, .best = false, .loss = 0.5, .accuracy = 0.75}};
  const Json json = cli::to_json(result);
  EXPECT_EQ(cli::to_json(cli::lra_result(json, "result.json")), json);
  EXPECT_DOUBLE_EQ(result.share(), 0.01);
  EXPECT_DOUBLE_EQ(result.full_seconds(), 150);
}

}  // namespace
}  // namespace lowrank::testing
