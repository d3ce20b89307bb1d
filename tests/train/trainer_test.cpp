// SPDX-License-Identifier: Apache-2.0
#include "lowrank/train/trainer.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/utils/clip_grad.h>
#include <torch/optim/adamw.h>

#include <fstream>

#include "lowrank/io/safetensors.h"
#include "lowrank/train/inputs.h"
#include "lowrank/train/schedule.h"
#include "tests/support/temporary_folder.h"
#include "tests/train/synthetic.h"

namespace lowrank::train {
namespace {

using lowrank::testing::expect_error;
using lowrank::testing::expect_same_run;
using lowrank::testing::make_splits;
using lowrank::testing::metrics;
using lowrank::testing::Recorder;
using lowrank::testing::run;
using lowrank::testing::TemporaryFolder;
using lowrank::testing::tiny_recipe;
using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

class Train : public ::testing::Test {
 protected:
  std::filesystem::path in(const char* name) const { return folder_.path() / name; }
  TemporaryFolder folder_;
};

// The same ten steps written out with torch's own optimizer and clipping.
TEST_F(Train, MatchesTheLoopWrittenOut) {
  Recipe recipe = tiny_recipe(in("run"));
  recipe.model.classes = make_splits().train.classes;
  recipe.train.weight_decay = 0;  // torch's optimizer then needs no groups
  Recorder recorder;
  const data::Splits splits = make_splits();
  train(recipe, splits, recorder, false, recorder.stop);

  at::manual_seed(7);
  models::Model model(recipe.model);
  torch::optim::AdamW optimizer(
      model.parameters(),
      torch::optim::AdamWOptions(0).betas({0.9, 0.98}).eps(1e-8).weight_decay(0));
  data::TrainingBatches batches(splits.train, std::make_shared<text::ByteTokenizer>(),
                                batch_options(recipe));
  ASSERT_EQ(recorder.steps.size(), 10u);
  for (int64_t step = 0; step < 10; ++step) {
    optimizer.zero_grad();
    double loss = 0;
    for (int i = 0; i < 2; ++i) {
      const data::Batch batch = batches.next();
      const at::Tensor half = model.loss(inputs_for(model, batch), batch.labels) / 2;
      half.backward();
      loss += half.item<double>();
    }
    torch::nn::utils::clip_grad_norm_(model.parameters(), 1);
    const double rate = 1e-2 * rate_share(recipe.train, static_cast<double>(step) / 10);
    for (auto& group : optimizer.param_groups()) group.options().set_lr(rate);
    optimizer.step();
    const Watcher::Step& got = recorder.steps[static_cast<size_t>(step)];
    EXPECT_EQ(got.learning_rate, rate);
    // Ten steps of float32 rounding, each at most 1.2e-7, grown tenfold by the steps after it.
    EXPECT_TRUE(std::abs(got.loss - loss) <= 1e-5 * loss) << "step " << step + 1;
  }
}

TEST_F(Train, RepeatsItselfToTheBit) {
  run(tiny_recipe(in("a")));
  run(tiny_recipe(in("b")));
  expect_same_run(in("a"), in("b"));
}

TEST_F(Train, ResumesToTheSameBitsFromAnyStep) {
  run(tiny_recipe(in("whole")));
  for (const int64_t stop_at : {1, 4, 5, 9}) {
    const Recipe recipe = tiny_recipe(in("parts") / std::to_string(stop_at));
    EXPECT_EQ(run(recipe, false, stop_at).ended, Ended::kInterrupted);
    const TrainResult result = run(recipe, true);
    EXPECT_EQ(result.ended, Ended::kDone);
    EXPECT_EQ(result.steps, 10);
    expect_same_run(in("whole"), recipe.train.output);
  }
}

TEST_F(Train, ResumesAgainAndAgain) {
  run(tiny_recipe(in("whole")));
  const Recipe recipe = tiny_recipe(in("parts"));
  run(recipe, false, 2);
  run(recipe, true, 3);
  run(recipe, true, 7);
  EXPECT_EQ(run(recipe, true).steps, 10);
  expect_same_run(in("whole"), in("parts"));
}

TEST_F(Train, ResumesByEpochsToTheSameBits) {
  const auto recipe = [&](const char* name) {
    Recipe by_epochs = tiny_recipe(in(name));
    by_epochs.train.steps = 0;
    by_epochs.train.epochs = 2.5;
    by_epochs.train.evaluate_every = 0;
    return by_epochs;
  };
  run(recipe("whole"));
  run(recipe("parts"), false, 8);
  run(recipe("parts"), true);
  expect_same_run(in("whole"), in("parts"));
}

// Whatever a killed run wrote after its last checkpoint is not in the record of the resumed one.
TEST_F(Train, DropsTheLinesAfterTheCheckpointWhenResuming) {
  run(tiny_recipe(in("whole")));
  run(tiny_recipe(in("parts")), false, 5);
  std::ofstream lines(in("parts") / "metrics.jsonl", std::ios::app);
  lines << R"({"step":6,"loss":1.0})"
        << "\n"
        << R"({"step":7,"lo)" << std::flush;
  run(tiny_recipe(in("parts")), true);
  expect_same_run(in("whole"), in("parts"));
}

// An evaluation is due after step 4 and at the end; `stop` cuts it short after its first batch.
TEST_F(Train, StopsInTheMiddleOfAnEvaluationAndDoesItAgain) {
  run(tiny_recipe(in("whole")));
  for (const int64_t stop_at : {4, 10}) {
    const Recipe recipe = tiny_recipe(in("parts") / std::to_string(stop_at));
    Recorder recorder(stop_at);
    const data::Splits splits = make_splits();
    EXPECT_EQ(train(recipe, splits, recorder, false, recorder.stop).ended, Ended::kInterrupted);
    EXPECT_THAT(recorder.evaluated, ::testing::Not(Contains(stop_at)));
    EXPECT_EQ(run(recipe, true).ended, Ended::kDone);
    expect_same_run(in("whole"), recipe.train.output);
  }
}

TEST_F(Train, HasNothingLeftToDoWhenDone) {
  const Recipe recipe = tiny_recipe(in("run"));
  run(recipe);
  const std::string before = read_file(in("run") / "metrics.jsonl");
  const TrainResult again = run(recipe, true);
  EXPECT_EQ(again.ended, Ended::kDone);
  EXPECT_EQ(again.steps, 10);
  EXPECT_EQ(read_file(in("run") / "metrics.jsonl"), before);
}

TEST_F(Train, GoesOnFurtherThanFirstAskedFor) {
  Recipe recipe = tiny_recipe(in("run"));
  run(recipe);
  recipe.train.steps = 14;
  EXPECT_EQ(run(recipe, true).steps, 14);
}

TEST_F(Train, EvaluatesAtTheEndOfEachEpochUnlessToldOtherwise) {
  Recipe recipe = tiny_recipe(in("run"));
  recipe.train.steps = 0;
  recipe.train.epochs = 2;
  recipe.train.accumulate = 1;
  recipe.train.evaluate_every = 0;
  Recorder recorder;
  const data::Splits splits = make_splits();
  const TrainResult result = train(recipe, splits, recorder, false, recorder.stop);
  EXPECT_EQ(result.steps, 22);  // 42 examples are 11 batches of 4
  EXPECT_THAT(recorder.evaluated, ElementsAre(11, 22));
}

TEST_F(Train, EvaluatesOnAsManyExamplesAsAllowed) {
  Recipe recipe = tiny_recipe(in("run"));
  recipe.train.evaluate_most = 4;
  Recorder recorder;
  const data::Splits splits = make_splits();
  train(recipe, splits, recorder, false, recorder.stop);
  EXPECT_THAT(recorder.evaluated, ElementsAre(4, 8, 10));
  EXPECT_EQ(recorder.evaluations.back().count, 4);
}

TEST_F(Train, EndsByTheClock) {
  Recipe recipe = tiny_recipe(in("run"));
  recipe.train.steps = 0;
  recipe.train.minutes = 0.01;
  Recorder recorder;
  const data::Splits splits = make_splits();
  const TrainResult result = train(recipe, splits, recorder, false, recorder.stop);
  EXPECT_EQ(result.ended, Ended::kDone);
  EXPECT_GE(result.seconds, 0.6);
  EXPECT_GT(result.steps, 0);
  // The clock of a run goes on where the sitting before stopped it.
  EXPECT_EQ(run(recipe, true).steps, result.steps);
}

TEST_F(Train, StopsEarlyWhenNothingGetsBetter) {
  Recipe recipe = tiny_recipe(in("run"));
  recipe.train.learning_rate = 0;
  recipe.train.steps = 1000;
  recipe.train.evaluate_every = 2;
  recipe.train.early_stop = 3;
  Recorder recorder;
  const data::Splits splits = make_splits();
  const TrainResult result = train(recipe, splits, recorder, false, recorder.stop);
  EXPECT_EQ(result.ended, Ended::kEarlyStop);
  EXPECT_THAT(recorder.evaluated, ElementsAre(2, 4, 6, 8));
  EXPECT_THAT(recorder.notes, Contains(HasSubstr("3 evaluations without a better result")));
}

TEST_F(Train, KeepsTheBestModel) {
  Recipe recipe = tiny_recipe(in("run"));
  Recorder recorder;
  const data::Splits splits = make_splits();
  const TrainResult result = train(recipe, splits, recorder, false, recorder.stop);
  double best = 0;
  for (const Evaluation& evaluation : recorder.evaluations) {
    best = std::max(best, evaluation.accuracy);
  }
  EXPECT_EQ(result.best, best);
  EXPECT_EQ(result.best_folder, in("run") / "best");
  const TrainedModel trained = load_trained(in("run"));
  const Evaluation again = evaluate(*trained.model, splits.validation, text::ByteTokenizer(),
                                    batch_options(trained.recipe));
  EXPECT_EQ(again.accuracy, best);
}

// Steps so small that no prediction changes, while the loss falls from one evaluation to the next.
TEST_F(Train, OfEqualAccuraciesKeepsTheLowerLoss) {
  Recipe recipe = tiny_recipe(in("run"));
  recipe.model.dropout = 0;
  recipe.train.learning_rate = 1e-6;
  Recorder recorder;
  const data::Splits splits = make_splits();
  train(recipe, splits, recorder, false, recorder.stop);
  ASSERT_EQ(recorder.evaluations.size(), 3u);
  double lowest = recorder.evaluations[0].loss;
  for (const Evaluation& evaluation : recorder.evaluations) {
    ASSERT_EQ(evaluation.accuracy, recorder.evaluations[0].accuracy);
    lowest = std::min(lowest, evaluation.loss);
  }
  ASSERT_LT(lowest, recorder.evaluations[0].loss);
  const TrainedModel kept = load_trained(in("run"));
  const Evaluation again =
      evaluate(*kept.model, splits.validation, text::ByteTokenizer(), batch_options(kept.recipe));
  EXPECT_EQ(again.loss, lowest);
}

// Numbers that follow the share of vowels.
TEST_F(Train, LearnsNumbersAndResumesToTheSameBits) {
  data::Splits splits = make_splits();
  for (data::Dataset* dataset : {&splits.train, &splits.validation, &splits.test}) {
    dataset->label_kind = data::LabelKind::kNumber;
    dataset->classes = {"score"};
    for (data::Example& example : dataset->examples) {
      example.number = example.label == 0 ? 4 : 1;
      example.label = -1;
    }
  }
  Recipe recipe = tiny_recipe(in("run"));
  recipe.train.steps = 40;
  const auto sitting = [&](const fs::path& output, bool resume, int64_t stop_at) {
    recipe.train.output = output.string();
    Recorder recorder(stop_at);
    const TrainResult result = train(recipe, splits, recorder, resume, recorder.stop);
    return result.best;
  };
  EXPECT_GT(sitting(in("run"), false, -1), 0.8);
  sitting(in("again"), false, 17);
  sitting(in("again"), true, -1);
  expect_same_run(in("run"), in("again"));
  const TrainedModel trained = load_trained(in("run"));
  EXPECT_THAT(trained.model->config().classes, ElementsAre("score"));
  const Evaluation got =
      evaluate(*trained.model, splits.test, text::ByteTokenizer(), batch_options(trained.recipe));
  EXPECT_GT(got.pearson, 0.8);
}

TEST_F(Train, LearnsTagsOfWords) {
  data::Splits splits;
  int64_t number = 0;
  for (data::Dataset* dataset : {&splits.train, &splits.validation}) {
    *dataset = {.classes = {"B-DIGITS", "O"}, .label_kind = data::LabelKind::kTag};
    for (int i = 0; i < 40; ++i, ++number) {
      data::Example example{.source = "sentence"};
      for (int word = 0; word < 4; ++word) {
        const bool digits = (number >> word) % 2 == 0;
        if (word > 0) example.text += ' ';
        const auto begin = static_cast<int64_t>(example.text.size());
        example.text += digits ? std::to_string(100 + (number * 37 + word) % 900) : "aei";
        example.words.push_back({begin, begin + 3, digits ? 0 : 1});
      }
      dataset->examples.push_back(std::move(example));
    }
  }
  Recipe recipe = tiny_recipe(in("run"));
  recipe.model.task = models::Task::kTokenClassification;
  recipe.train.steps = 60;
  Recorder recorder;
  const TrainResult result = train(recipe, splits, recorder, false, recorder.stop);
  EXPECT_GT(result.best, 0.9);
  EXPECT_EQ(recorder.evaluations.back().count, 160);
}

TEST_F(Train, TakesTheBestByTheMetricAskedFor) {
  Recipe recipe = tiny_recipe(in("run"));
  recipe.train.metric = Metric::kMatthews;
  Recorder recorder;
  const data::Splits splits = make_splits();
  const TrainResult result = train(recipe, splits, recorder, false, recorder.stop);
  double best = -1;
  for (const Evaluation& evaluation : recorder.evaluations) {
    best = std::max(best, evaluation.matthews);
  }
  EXPECT_EQ(result.best, best);
}

TEST_F(Train, SavesAsOftenAsAsked) {
  struct Saves : Recorder {
    void on_save(int64_t step, const std::filesystem::path&) override {
      steps_saved.push_back(step);
    }
    std::vector<int64_t> steps_saved;
  } watcher;
  Recipe recipe = tiny_recipe(in("run"));
  recipe.train.save_every = 3;
  const data::Splits splits = make_splits();
  train(recipe, splits, watcher, false, watcher.stop);
  EXPECT_THAT(watcher.steps_saved, ElementsAre(0, 3, 6, 9, 10));
}

TEST_F(Train, LeavesARecordAndAPicture) {
  run(tiny_recipe(in("run")));
  const std::vector<Json> lines = metrics(in("run"));
  std::vector<int64_t> logged, evaluated;
  for (const Json& line : lines) {
    (line.contains("loss") ? logged : evaluated).push_back(line["step"].get<int64_t>());
  }
  EXPECT_THAT(logged, ElementsAre(3, 6, 9, 10));
  EXPECT_THAT(evaluated, ElementsAre(4, 8, 10));
  EXPECT_TRUE(std::filesystem::exists(in("run") / "recipe.json"));
  bool events = false;
  for (const auto& entry : std::filesystem::directory_iterator(in("run"))) {
    events |= entry.path().filename().string().starts_with("events.out.tfevents.");
  }
  EXPECT_TRUE(events);
}

TEST_F(Train, DoesWithoutValidationData) {
  data::Splits splits = make_splits();
  splits.validation.examples.clear();
  Recorder recorder;
  const TrainResult result = train(tiny_recipe(in("run")), splits, recorder, false, recorder.stop);
  EXPECT_EQ(result.ended, Ended::kDone);
  EXPECT_EQ(result.best_folder, in("run") / "last");
  EXPECT_EQ(load_trained(in("run")).folder, in("run") / "last");
}

TEST_F(Train, RefusesToOverwriteARun) {
  const Recipe recipe = tiny_recipe(in("run"));
  run(recipe);
  expect_error([&] { run(recipe); }, {"already holds a run", "--resume", "train.output"});
}

TEST_F(Train, RefusesToResumeNothing) {
  expect_error([&] { run(tiny_recipe(in("run")), true); }, {"nothing to resume"});
}

TEST_F(Train, RefusesToResumeWithAnotherModelOrOtherData) {
  run(tiny_recipe(in("run")), false, 2);
  Recipe recipe = tiny_recipe(in("run"));
  recipe.model.width = 16;
  expect_error([&] { run(recipe, true); }, {"model.width"});
  recipe = tiny_recipe(in("run"));
  recipe.data.max_length = 16;
  expect_error([&] { run(recipe, true); }, {"data.max_length"});
  recipe = tiny_recipe(in("run"));
  recipe.train.batch_size = 5;
  expect_error([&] { run(recipe, true); }, {"train.batch_size"});
  data::Splits splits = make_splits();
  splits.train.examples[3].text += "!";
  Recorder recorder;
  expect_error([&] { train(tiny_recipe(in("run")), splits, recorder, true, recorder.stop); },
               {"training examples have changed"});
}

// Whatever this machine's speed decides, the run keeps it.
TEST_F(Train, MeasuresAutoAttentionOnceAndResumesWithWhatItFound) {
  Recipe recipe = tiny_recipe(in("auto"));
  recipe.model.attention = {NystromOptions{.landmarks = 4, .exact_up_to = models::kToBeMeasured}};
  Recorder first(4);
  const data::Splits splits = make_splits();
  train(recipe, splits, first, false, first.stop);
  EXPECT_THAT(first.notes, Contains(HasSubstr("attention[0]: auto chose exact attention up to")));
  const AttentionKind chosen = load_saved_recipe(in("auto")).model.attention[0];
  const auto& nystrom = std::get<NystromOptions>(chosen);
  EXPECT_GE(nystrom.exact_up_to, 4);
  EXPECT_LE(nystrom.exact_up_to, 32);

  Recorder second;
  train(recipe, splits, second, true, second.stop);
  EXPECT_THAT(second.notes, ::testing::Not(Contains(HasSubstr("auto"))));
  EXPECT_EQ(std::get<NystromOptions>(load_trained(in("auto")).model->config().attention[0]),
            nystrom);
  recipe.model.attention = {chosen};
  recipe.train.output = in("chosen").string();
  run(recipe);
  expect_same_run(in("auto"), in("chosen"));
}

TEST_F(Train, RefusesDataThatDoesNotFit) {
  data::Splits splits = make_splits();
  Recorder recorder;
  const auto training = [&](const Recipe& recipe) {
    return [&, recipe] { train(recipe, splits, recorder, false, recorder.stop); };
  };
  Recipe recipe = tiny_recipe(in("run"));
  recipe.model.classes = {"a", "b", "c"};
  expect_error(training(recipe), {"model.classes", "3 classes", "2"});
  recipe = tiny_recipe(in("run"));
  recipe.train.metric = Metric::kPearson;
  expect_error(training(recipe), {"train.metric = \"pearson\""});
  splits.train.examples[5].label = -1;
  expect_error(training(tiny_recipe(in("run"))), {"example 5 has no label"});
  splits.train.examples.clear();
  expect_error(training(tiny_recipe(in("run"))), {"no examples"});
}

TEST_F(Train, RefusesAnUnknownDevice) {
  Recipe recipe = tiny_recipe(in("run"));
  recipe.train.device = "abacus";
  expect_error([&] { run(recipe); }, {"train.device = \"abacus\""});
}

TEST_F(Train, RefusesAFolderThatCannotBeWritten) {
  replace_file(in("file"), "in the way");
  Recorder recorder;
  const data::Splits splits = make_splits();
  expect_error(
      [&] { train(tiny_recipe(in("file") / "run"), splits, recorder, false, recorder.stop); },
      {(in("file") / "run").string()});
  EXPECT_TRUE(recorder.steps.empty());
}

TEST_F(Train, StopsWhenTheLossIsNoNumberAndKeepsTheCheckpointBefore) {
  Recipe recipe = tiny_recipe(in("run"));
  recipe.train.steps = 1000;
  recipe.train.save_every = 1;
  recipe.train.warmup = 0;
  recipe.train.learning_rate = 1000;
  recipe.train.weight_decay = 1000;  // each step multiplies the matrices by a million
  expect_error([&] { run(recipe); }, {"in step", "train.learning_rate", "last good checkpoint"});
  for (const auto& [name, tensor] : io::load_safetensors(in("run") / "last/model.safetensors")) {
    EXPECT_FALSE(tensor.isnan().any().item<bool>()) << name;
  }
}

TEST_F(Train, LoadsACopiedModelFolder) {
  run(tiny_recipe(in("run")));
  std::filesystem::copy(in("run") / "best", in("copy"));
  const TrainedModel trained = load_trained(in("copy"));
  EXPECT_EQ(trained.folder, in("copy"));
  EXPECT_THAT(trained.model->config().classes, ElementsAre("vowels", "digits"));
  EXPECT_EQ(trained.recipe.data.max_length, 32);
  EXPECT_TRUE(trained.has_recipe);
  expect_error([&] { load_trained(in("nowhere")); }, {"nowhere", "no model"});
}

TEST_F(Train, ReadsAModelWithoutRecipeAsLongAsItTakesAndNoLonger) {
  run(tiny_recipe(in("run")));
  std::filesystem::copy(in("run") / "best", in("copy"));
  std::filesystem::remove(in("copy") / "recipe.json");
  const TrainedModel trained = load_trained(in("copy"));
  EXPECT_FALSE(trained.has_recipe);
  EXPECT_EQ(trained.recipe.data.max_length, trained.model->config().embeddings.max_positions);
  EXPECT_EQ(trained.recipe.data.on_overflow, "error");
  EXPECT_FALSE(trained.recipe.train.special_tokens);  // of bytes
  EXPECT_THAT(trained.recipe.model.classes, ElementsAre("vowels", "digits"));
}

struct KindCase {
  const char* name;
  AttentionKind kind;
};

void PrintTo(const KindCase& kind, std::ostream* out) { *out << kind.name; }

class TrainEveryKind : public ::testing::TestWithParam<KindCase> {
 protected:
  Recipe recipe(const char* name) const {
    Recipe recipe = tiny_recipe(folder_.path() / name);
    recipe.model.attention = {GetParam().kind};
    recipe.train.steps = 40;
    recipe.train.evaluate_every = 10;
    return recipe;
  }
  TemporaryFolder folder_;
};

TEST_P(TrainEveryKind, LearnsResumesEvaluatesAndPredicts) {
  const TrainResult whole = run(recipe("whole"));
  EXPECT_GE(whole.best, 0.9);
  run(recipe("parts"), false, 13);
  run(recipe("parts"), true);
  expect_same_run(folder_.path() / "whole", folder_.path() / "parts");

  const TrainedModel trained = load_trained(folder_.path() / "whole");
  const data::Splits splits = make_splits();
  const data::BatchOptions options = batch_options(trained.recipe);
  const text::ByteTokenizer tokenizer;
  const Evaluation evaluation = evaluate(*trained.model, splits.test, tokenizer, options);
  const auto rows = predict(*trained.model, splits.test, tokenizer, options);
  int64_t hits = 0;
  for (size_t i = 0; i < rows.size(); ++i) {
    hits += (rows[i][1] > rows[i][0] ? 1 : 0) == splits.test.examples[i].label ? 1 : 0;
  }
  EXPECT_EQ(evaluation.confusion[0][0] + evaluation.confusion[1][1], hits);
}

TEST_P(TrainEveryKind, LearnsInBfloat16) {
  Recipe reduced = recipe("run");
  reduced.train.precision = Precision::kBfloat16;
  EXPECT_GE(run(reduced).best, 0.9);
}

TEST_P(TrainEveryKind, LearnsTheMaskedLanguageModel) {
  Recipe language = recipe("run");
  language.model.task = models::Task::kMaskedLanguageModel;
  Recorder recorder;
  const data::Splits splits = make_splits();
  const TrainResult result = train(language, splits, recorder, false, recorder.stop);
  EXPECT_EQ(result.best, -recorder.evaluations.back().loss);
  EXPECT_LT(recorder.evaluations.back().loss, recorder.evaluations.front().loss);
}

LinformerOptions linformer(LinformerSharing sharing) {
  return {.projected = 4, .max_length = 32, .sharing = sharing};
}

INSTANTIATE_TEST_SUITE_P(
    All, TrainEveryKind,
    ::testing::Values(KindCase{"exact", ExactOptions{}},
                      KindCase{"nystrom", NystromOptions{.landmarks = 4}},
                      KindCase{"nystrom_conv", NystromOptions{.landmarks = 4, .conv = 3}},
                      KindCase{"linformer_none", linformer(LinformerSharing::kNone)},
                      KindCase{"linformer_headwise", linformer(LinformerSharing::kHeadwise)},
                      KindCase{"linformer_kv", linformer(LinformerSharing::kKeyValue)},
                      KindCase{"linformer_layerwise", linformer(LinformerSharing::kLayerwise)}),
    [](const auto& kind) { return std::string(kind.param.name); });

}  // namespace
}  // namespace lowrank::train
