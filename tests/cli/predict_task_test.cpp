// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/predict_task.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/models/model_directory.h"
#include "tests/cli/signal_on.h"
#include "tests/cli/tiny_task.h"
#include "tests/support/bert_folder.h"

// `lowrank predict` with models that were not trained here.
namespace lowrank::testing {
namespace {

using models::Task;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::StartsWith;

std::vector<Json> objects(const Ran& ran) {
  std::vector<Json> all;
  std::istringstream lines(ran.out);
  for (std::string line; std::getline(lines, line);) all.push_back(parse_json(line, "predict"));
  return all;
}

// What the model itself says of one sequence.
at::Tensor logits_of(const BertFolder& folder, const std::vector<int64_t>& ids,
                     const std::vector<int64_t>& segments) {
  const at::NoGradGuard no_grad;
  const models::Inputs inputs{at::tensor(ids, at::kLong),
                              at::tensor({int64_t{0}, std::ssize(ids)}, at::kLong),
                              at::tensor(segments, at::kLong)};
  return models::load_model(folder.path())->logits(inputs).to(at::kDouble);
}

double probability_of(const Json& object, const std::string& label) {
  for (const Json& entry : object["labels"]) {
    if (entry["label"] == label) return entry["probability"];
  }
  return -1;
}

TEST(PredictTask, LabelsTextsAndPairsByAModelOfTransformers) {
  const BertFolder folder(Task::kClassification);
  const Ran lines = lowrank({"predict", folder.path(), "--lines", "--json"}, "un a\nb\n");
  ASSERT_EQ(lines.status, 0) << lines.err;
  const std::vector<Json> all = objects(lines);
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[1]["source"], "stdin:2");
  const at::Tensor alone = logits_of(folder, {2, 4, 6, 3}, {0, 0, 0, 0}).softmax(1)[0];
  EXPECT_NEAR(probability_of(all[0], "yes"), alone[1].item<double>(), 1e-6);

  const Ran pairs = lowrank({"predict", folder.path(), "--jsonl", "--json"},
                            "{\"text\": \"un a\", \"pair\": \"b\"}\n");
  ASSERT_EQ(pairs.status, 0) << pairs.err;
  const at::Tensor both = logits_of(folder, {2, 4, 6, 3, 8, 3}, {0, 0, 0, 0, 1, 1}).softmax(1)[0];
  EXPECT_NEAR(probability_of(objects(pairs).at(0), "perhaps"), both[2].item<double>(), 1e-6);
}

TEST(PredictTask, NamesLineFoundAndAllowedLengthOfOverlongInputUnlessToldWhatToDo) {
  const BertFolder folder(Task::kClassification);
  std::string longer;
  for (int i = 0; i < 30; ++i) longer += "a ";
  const std::string input = "b\n" + longer + "\nun\n";
  const auto run = [&](const std::vector<std::string>& flags) {
    std::vector<std::string> all = {"predict", folder.path(), "--lines", "--json"};
    all.insert(all.end(), flags.begin(), flags.end());
    return lowrank(all, input);
  };
  const Ran refused = run({});
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, AllOf(StartsWith("lowrank predict: stdin:2: 32 tokens"),
                                 HasSubstr("at most 24"), HasSubstr("truncate, chunk or")));
  EXPECT_EQ(objects(refused).size(), 2u);
  for (const char* policy : {"truncate", "chunk", "interpolate"}) {
    const Ran read = run({"--on-overflow", policy});
    EXPECT_EQ(read.status, 0) << read.err;
    EXPECT_EQ(objects(read).size(), 3u);
    EXPECT_EQ(read.err.empty(), std::string(policy) != "truncate") << read.err;
  }
}

TEST(PredictTask, StopsAtASignalAfterWhatItHasAnswered) {
  const BertFolder folder(Task::kClassification);
  std::string lines;
  for (int i = 0; i < 2000; ++i) lines += "un a\n";
  SignalOn buffer(" tokens/s", SIGINT);  // drawn after the first batch
  std::istringstream in(lines);
  std::ostringstream out;
  std::ostream err(&buffer);
  const int status =
      cli::run_program({"predict", folder.path(), "--lines", "--json", "--token-budget", "64"},
                       {in, out, err, true});
  EXPECT_EQ(status, 130);
  EXPECT_THAT(buffer.str(), HasSubstr("lowrank predict: interrupted after "));
  const Ran whole = lowrank({"predict", folder.path(), "--lines", "--json"}, lines);
  ASSERT_EQ(whole.status, 0) << whole.err;
  EXPECT_LT(out.str().size(), whole.out.size());
  EXPECT_EQ(whole.err, "") << "nothing is drawn where nobody looks";
}

TEST(PredictTask, RunsInOtherDtypesAndBatches) {
  const BertFolder folder(Task::kClassification);
  const std::string input = "un a\nb\n";
  const std::vector<Json> expected =
      objects(lowrank({"predict", folder.path(), "--lines", "--json"}, input));
  const std::vector<Json> found = objects(lowrank(
      {"predict", folder.path(), "--lines", "--json", "--dtype", "bfloat16", "--token-budget", "1"},
      input));
  ASSERT_EQ(found.size(), 2u);
  for (size_t i = 0; i < 2; ++i) {
    EXPECT_NEAR(probability_of(found[i], "yes"), probability_of(expected[i], "yes"), 0.02);
  }
}

TEST(PredictTask, LabelsSpansOfCharactersByATokenClassifier) {
  const BertFolder folder(Task::kTokenClassification);
  const std::string text = "caf\xC3\xA9, unable";
  const Ran pieces = lowrank({"predict", folder.path(), "--json", "--aggregate", "none"}, text);
  ASSERT_EQ(pieces.status, 0) << pieces.err;
  const Json spans = objects(pieces).at(0)["spans"];
  ASSERT_EQ(spans.size(), 4u);  // cafe , un ##able
  const at::Tensor expected = logits_of(folder, {2, 10, 9, 4, 5, 3}, {0, 0, 0, 0, 0, 0}).softmax(1);
  for (size_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(spans[i]["probability"].get<double>(),
                expected[static_cast<int64_t>(i) + 1].max().item<double>(), 1e-6);
  }
  EXPECT_EQ(spans[0]["text"], "caf\xC3\xA9");
  EXPECT_EQ(spans[0]["end"], 4);
  EXPECT_EQ(spans[0]["end_byte"], 5);
  EXPECT_EQ(spans[3]["begin"], 8);
  EXPECT_EQ(spans[3]["end"], 12);
  EXPECT_EQ(spans[3]["begin_byte"], 9);

  const Ran table = lowrank({"predict", folder.path()}, text);
  EXPECT_EQ(table.status, 0) << table.err;
  EXPECT_THAT(table.out, HasSubstr("caf\xC3\xA9"));
}

TEST(PredictTask, AnswersAQuestionOfEachContextOrOneOfAll) {
  const BertFolder folder(Task::kQuestionAnswering);
  const Ran own = lowrank({"predict", folder.path(), "--jsonl", "--json", "--top", "2"},
                          "{\"question\": \"a b\", \"context\": \"un, caf\xC3\xA9 b\"}\n");
  ASSERT_EQ(own.status, 0) << own.err;
  const Json answers = objects(own).at(0)["answers"];
  ASSERT_EQ(answers.size(), 2u);
  EXPECT_GE(answers[0]["score"].get<double>(), answers[1]["score"].get<double>());

  const std::string file = folder.write("context.txt", "un, caf\xC3\xA9 b");
  const Ran asked =
      lowrank({"predict", folder.path(), file, "--question", "a b", "--json", "--top", "2"});
  ASSERT_EQ(asked.status, 0) << asked.err;
  EXPECT_EQ(objects(asked).at(0)["source"], file);
  EXPECT_EQ(objects(asked).at(0)["answers"], answers);
  const std::string context = "un, caf\xC3\xA9 b";
  for (const Json& answer : answers) {
    const size_t begin = answer["begin_byte"], end = answer["end_byte"];
    EXPECT_EQ(answer["text"], context.substr(begin, end - begin));
  }

  for (const char* threshold : {"-1000", "1000"}) {
    const Ran ran = lowrank({"predict", folder.path(), file, "--question", "a b", "--json",
                             "--no-answer-threshold", threshold});
    ASSERT_EQ(ran.status, 0) << ran.err;
    const Json all = objects(ran).at(0)["answers"];
    const bool none = std::string(threshold) == "-1000";
    EXPECT_EQ(all.at(0).contains("no_answer"), none);
    if (none) {
      EXPECT_EQ(all[0]["no_answer"], true);
      EXPECT_EQ(all[0]["text"], "");
      EXPECT_GT(all[0]["score"].get<double>(), 0);
    }
    const Ran table = lowrank({"predict", folder.path(), file, "--question", "a b", "--top", "1",
                               "--no-answer-threshold", threshold});
    EXPECT_EQ(table.out.find("  no answer  ") != std::string::npos, none) << table.out;
  }
  const BertFolder classifier(Task::kClassification);
  EXPECT_THAT(lowrank({"predict", classifier.path(), file, "--no-answer-threshold", "0"}).err,
              HasSubstr("--no-answer-threshold is for question answering models"));

  const Ran misused = lowrank({"predict", folder.path(), file});
  EXPECT_EQ(misused.status, 2);
  EXPECT_THAT(misused.err, HasSubstr("--question"));
  const Ran no_context = lowrank({"predict", folder.path(), "--jsonl"}, "{\"question\": \"a\"}\n");
  EXPECT_EQ(no_context.status, 1);
  EXPECT_THAT(no_context.err, HasSubstr("stdin:1: there is a question and no context"));
}

TEST(PredictTask, ReadsALongContextInWindows) {
  const BertFolder folder(Task::kQuestionAnswering);
  std::string context;
  for (int i = 0; i < 40; ++i) context += "un ";
  const Ran refused = lowrank({"predict", folder.path(), "--question", "a"}, context);
  EXPECT_EQ(refused.status, 1);
  EXPECT_THAT(refused.err, HasSubstr("stdin: 44 tokens; a sequence has at most 24"));
  const Ran read = lowrank(
      {"predict", folder.path(), "--question", "a", "--on-overflow", "chunk", "--json"}, context);
  ASSERT_EQ(read.status, 0) << read.err;
  EXPECT_EQ(objects(read).at(0)["answers"].size(), 3u);
}

TEST(PredictTask, WeighsTheChoicesOfAQuestion) {
  const BertFolder folder(Task::kMultipleChoice);
  const Ran ran = lowrank({"predict", folder.path(), "--jsonl", "--json"},
                          "{\"text\": \"un\", \"choices\": [\"a\", \"b\"]}\n"
                          "{\"text\": \"un\", \"choices\": [7]}\n"
                          "{\"text\": \"un\"}\n");
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, AllOf(HasSubstr("stdin:2: choices[0] is a number"),
                             HasSubstr("stdin:3: a multiple choice is a JSON object")));
  const Json choices = objects(ran).at(0)["choices"];
  ASSERT_EQ(choices.size(), 2u);
  const at::Tensor scores = at::cat({logits_of(folder, {2, 4, 3, 6, 3}, {0, 0, 0, 1, 1}).flatten(),
                                     logits_of(folder, {2, 4, 3, 8, 3}, {0, 0, 0, 1, 1}).flatten()})
                                .softmax(0);
  for (const Json& choice : choices) {
    EXPECT_NEAR(choice["probability"].get<double>(),
                scores[choice["choice"].get<int64_t>()].item<double>(), 1e-6);
  }
  EXPECT_EQ(lowrank({"predict", folder.path(), "--lines"}, "a\n").status, 2);
}

TEST(PredictTask, NamesTheCommandForAModelThatPredictsNothing) {
  const BertFolder encoder(Task::kEncoder), language(Task::kMaskedLanguageModel);
  const Ran vectors = lowrank({"predict", encoder.path()}, "a");
  EXPECT_EQ(vectors.status, 1);
  EXPECT_EQ(vectors.err,
            "lowrank predict: " + encoder.path() +
                " is an encoder, which has no classes. Use \"lowrank embed\" with it.\n");
  EXPECT_THAT(lowrank({"predict", language.path()}, "a").err,
              HasSubstr("Use \"lowrank fill\" with it"));
}

TEST(PredictTask, OfAModelWithoutRecipeIsNotMeasuredOnNoData) {
  const BertFolder classifier(Task::kClassification), encoder(Task::kEncoder);
  const Ran ran = lowrank({"eval", classifier.path()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("has no recipe.json"));
  EXPECT_THAT(lowrank({"eval", encoder.path()}).err,
              HasSubstr("is an encoder; eval measures classifiers"));
}

}  // namespace
}  // namespace lowrank::testing
