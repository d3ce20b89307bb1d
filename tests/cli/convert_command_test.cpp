// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/file.h"
#include "lowrank/io/load_tensors.h"
#include "lowrank/models/hugging_face.h"
#include "lowrank/models/model_directory.h"
#include "tests/cli/signal_on.h"
#include "tests/cli/tiny_task.h"
#include "tests/support/small_config.h"

namespace lowrank::cli {
namespace {

using lowrank::testing::lowrank;
using lowrank::testing::Ran;
using lowrank::testing::write_text;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// A directory of transformers' with a WordPiece vocabulary of letters, and text for it.
class ConvertCommand : public ::testing::Test {
 protected:
  ConvertCommand() {
    models::ModelConfig config = testing::small_config(ExactOptions{}, models::Task::kEncoder);
    config.tokenizer = "files";
    config.norm = nn::NormPosition::kPost;
    config.embeddings.vocabulary = 31;
    config.embeddings.segments = 2;
    config.embeddings.norm = true;
    config.embeddings.max_positions = 40;
    config.pooling = models::Pooling::kMean;
    std::filesystem::create_directories(source());
    at::manual_seed(4);
    const models::Model model(config);
    for (const auto& parameter :
         model.named_parameters()) {  // sharp attention, so that kinds differ
      if (parameter.key().find("query.weight") != std::string::npos) parameter->data().mul_(20);
    }
    models::save_hugging_face(model, source());
    std::string vocabulary = "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\n";
    for (char c = 'a'; c <= 'z'; ++c) vocabulary += std::string(1, c) + "\n";
    write_text(source() / "vocab.txt", vocabulary);
    std::string text;
    for (int i = 0; i < 2000; ++i) text += {static_cast<char>('a' + (i * i / 5) % 26), ' '};
    write_text(folder_.path() / "text.txt", text);
  }

  std::filesystem::path source() const { return folder_.path() / "source"; }
  std::string text() const { return (folder_.path() / "text.txt").string(); }
  std::filesystem::path out(const char* name = "out") const { return folder_.path() / name; }

  Ran convert(std::vector<std::string> flags) const {
    std::vector<std::string> all = {"convert", source().string(), out().string()};
    all.insert(all.end(), flags.begin(), flags.end());
    return lowrank(all);
  }

  testing::TemporaryFolder folder_;
};

TEST_F(ConvertCommand, BringsADirectoryOfTransformersOverAndBack) {
  const Ran over = convert({});
  EXPECT_EQ(over.status, 0) << over.err;
  EXPECT_THAT(over.out, HasSubstr("bert of transformers: encoder"));
  EXPECT_EQ(read_file(out() / "vocab.txt"), read_file(source() / "vocab.txt"));
  const Ran back =
      lowrank({"convert", out().string(), out("back").string(), "--to", "huggingface"});
  EXPECT_EQ(back.status, 0) << back.err;
  for (const char* name :
       {"model.safetensors", "config.json", "vocab.txt", "1_Pooling/config.json"}) {
    EXPECT_EQ(read_file(out("back") / name), read_file(source() / name)) << name;
  }
}

TEST_F(ConvertCommand, ReplacesAttentionInTheLayersThatAreNamed) {
  const Ran ran = convert({"--attention", "nystrom", "--landmarks", "4", "--conv", "3", "--layers",
                           "1", "--text", text(), "--measure", "40,64"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("exact | nystrom, 4 landmarks"), HasSubstr("layer 1"),
                             HasSubstr("cosine of the vectors of"), HasSubstr("memory before")));
  const auto model = models::load_model(out());
  EXPECT_TRUE(std::holds_alternative<ExactOptions>(model->config().attention[0]));
  EXPECT_EQ(std::get<NystromOptions>(model->config().attention[1]).conv, 3);
}

TEST_F(ConvertCommand, ExtendsPositions) {
  EXPECT_EQ(convert({"--max-positions", "100", "--positions", "interpolate"}).status, 0);
  EXPECT_EQ(models::load_model(out())->config().embeddings.max_positions, 100);
}

TEST_F(ConvertCommand, PicksAttentionLayerByLayer) {
  const Ran ran = convert(
      {"--attention", "auto", "--min-cosine", "0.5", "--text", text(), "--measure", "0", "--json"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  const Json report = parse_json(ran.out, "report");
  EXPECT_EQ(report.at("cosine_with_one_layer").size(), 2U);
  EXPECT_GE(report.at("before").at("mean_cosine").get<double>(), 0.5);
  EXPECT_EQ(std::get<NystromOptions>(models::load_model(out())->config().attention[0]).landmarks,
            16);
}

TEST_F(ConvertCommand, DistillsAndReports) {
  const Ran ran = convert({"--attention", "nystrom", "--landmarks", "4", "--distill", text(),
                           "--steps", "30", "--measure", "0"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("error after training"), HasSubstr("training: 30 steps")));
  EXPECT_THAT(ran.err, AllOf(HasSubstr("learning from"), HasSubstr("step 29  loss")));
  // The student goes on from where it is, with the model that it was made from.
  const Ran more =
      lowrank({"convert", out().string(), out("more").string(), "--teacher", source().string(),
               "--distill", text(), "--steps", "3", "--measure", "0"});
  EXPECT_EQ(more.status, 0) << more.err;
}

// Ctrl-C ends the training; --resume goes on to the bits of a run that was left alone.
TEST_F(ConvertCommand, ResumesATrainingThatWasInterrupted) {
  const std::vector<std::string> flags = {"--attention", "nystrom", "--landmarks", "4",
                                          "--distill",   text(),    "--steps",     "30",
                                          "--measure",   "0"};
  const auto arguments = [&](const char* folder, std::vector<std::string> more) {
    std::vector<std::string> all = {"convert", source().string(), out(folder).string()};
    all.insert(all.end(), flags.begin(), flags.end());
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  ASSERT_EQ(lowrank(arguments("whole", {})).status, 0);

  testing::SignalOn buffer("step 5  ", SIGINT);
  std::istringstream in;
  std::ostringstream report;
  std::ostream err(&buffer);
  ASSERT_EQ(run_program(arguments("out", {}), {in, report, err}), kInterrupted);
  EXPECT_THAT(buffer.str(), HasSubstr("The same command with --resume goes on from there."));
  EXPECT_TRUE(std::filesystem::exists(out() / "distill.json"));
  EXPECT_THAT(lowrank(arguments("out", {})).err, HasSubstr("exists already"));
  std::vector<std::string> other = arguments("out", {"--resume"});
  other[6] = "5";
  EXPECT_THAT(lowrank(other).err, HasSubstr("Repeat the command that it began with"));

  const Ran again = lowrank(arguments("out", {"--resume"}));
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(read_file(out() / "model.safetensors"), read_file(out("whole") / "model.safetensors"));
  EXPECT_FALSE(std::filesystem::exists(out() / "distill.json"));
  EXPECT_EQ(lowrank(arguments("out", {"--resume"})).status, 1);
  EXPECT_EQ(convert({"--force", "--resume"}).status, 2);
}

TEST_F(ConvertCommand, SaysWhatItWasToldWrong) {
  const auto expect = [&](int status, std::vector<std::string> flags, const std::string& sentence) {
    const Ran ran = convert(std::move(flags));
    EXPECT_EQ(ran.status, status) << sentence;
    EXPECT_THAT(ran.err, AllOf(HasSubstr("lowrank convert: "), HasSubstr(sentence)));
    EXPECT_FALSE(std::filesystem::exists(out()));
  };
  expect(2, {"--attention", "nystrom", "--layers", "1-5"}, "layers are numbers from 0 to 1");
  expect(2, {"--attention", "nystrom", "--layers", "1-0"}, "1-0 is no range");
  expect(2, {"--layers", "1"}, "--layers says where --attention goes");
  expect(2, {"--attention", "auto"}, "give it with --text");
  expect(2, {"--text", text()}, "name a kind of attention");
  expect(2, {"--attention", "nystrom", "--conv", "4"}, "it must be odd");
  expect(2, {"--attention", "soft"}, "soft");
  expect(1, {"--attention", "nystrom", "--distill", out("none.txt").string()}, "none.txt");
  expect(1, {"--max-positions", "10"}, "max_positions = 10; the model has 40");
  std::filesystem::create_directories(out());
  const Ran ran = convert({});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("exists already"));
  EXPECT_EQ(convert({"--force"}).status, 0);
}

TEST_F(ConvertCommand, NamesWhatNobodyKnows) {
  const auto path = folder_.path() / "other.safetensors";
  io::save_safetensors(path, {{"something", at::zeros({2})}});
  const Ran ran = lowrank({"convert", path.string(), out().string()});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("its tensors are of no package that is known"));
  const Ran missing = lowrank({"convert", out("gone").string(), out().string()});
  EXPECT_EQ(missing.status, 1);
  EXPECT_THAT(missing.err, HasSubstr("there is no such file or folder"));
}

// Of nystrom-attention: a module with vectors for input.
TEST_F(ConvertCommand, KeepsAModuleOfAnotherPackageAsItIsAndTellsItsQuirks) {
  const auto path = folder_.path() / "attention.safetensors";
  io::save_safetensors(path, {{"to_qkv.weight", at::randn({48, 12})},
                              {"to_out.0.weight", at::randn({12, 16})},
                              {"to_out.0.bias", at::randn({12})},
                              {"res_conv.weight", at::randn({2, 1, 33, 1})}});
  const Ran unsaid = lowrank({"convert", path.string(), out().string()});
  EXPECT_EQ(unsaid.status, 1);
  EXPECT_THAT(unsaid.err, HasSubstr("landmarks"));
  const Ran ran = lowrank({"convert", path.string(), out().string(), "--landmarks", "8"});
  EXPECT_EQ(ran.status, 0) << ran.err;
  const Ran info = lowrank({"info", out().string()});
  EXPECT_EQ(info.status, 0) << info.err;
  EXPECT_THAT(info.out, AllOf(HasSubstr("a module of \"lucidrains\""), HasSubstr("quirk: ")));
}

// transformers' Nystromformer: its profile, told by info, and gone with --fixed.
TEST_F(ConvertCommand, KeepsAProfileUntilItIsFixed) {
  models::ModelConfig config =
      testing::small_config(NystromOptions{.landmarks = 4, .conv = 3}, models::Task::kEncoder);
  config.norm = nn::NormPosition::kPost;
  config.embeddings.segments = 2;
  config.embeddings.norm = true;
  config.embeddings.position_offset = 2;
  config.compat = {.profile = Profile::kHuggingFace, .segment_length = 32, .padding_token = 1};
  const auto folder = folder_.path() / "nystromformer";
  std::filesystem::create_directories(folder);
  models::save_hugging_face(models::Model(config), folder);
  EXPECT_EQ(lowrank({"convert", folder.string(), out().string()}).status, 0);
  EXPECT_THAT(lowrank({"info", out().string()}).out,
              AllOf(HasSubstr("computed as \"hf\" does"), HasSubstr("quirk: ")));
  EXPECT_EQ(lowrank({"convert", out().string(), out("fixed").string(), "--fixed"}).status, 0);
  EXPECT_THAT(lowrank({"info", out("fixed").string()}).out, Not(HasSubstr("quirk: ")));
}

}  // namespace
}  // namespace lowrank::cli
