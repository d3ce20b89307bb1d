// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/analyze_command.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/analysis/approximation.h"
#include "lowrank/analysis/effective_attention.h"
#include "lowrank/analysis/spectrum.h"
#include "lowrank/base/file.h"
#include "lowrank/models/foreign.h"
#include "lowrank/models/model_directory.h"
#include "tests/cli/tiny_task.h"
#include "tests/support/bert_folder.h"
#include "tests/support/small_text_model.h"

namespace lowrank::testing {
namespace {

using models::Task;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

// A folder with a model that reads bytes, 33 of them at most and no special tokens, and texts.
class AnalyzeCommand : public ::testing::Test {
 protected:
  AnalyzeCommand() {
    std::filesystem::create_directories(model());
    save(ExactOptions{});
  }

  void save(const AttentionKind& kind) {
    model_ = small_text_model(small_text_config(Task::kEncoder, kind));
    models::save_model(*model_.model, model());
    model_ = serve::load_text_model(model());
  }

  std::string model() const { return folder_.path() / "model"; }
  std::string text(const std::string& content, const std::string& name = "text.txt") const {
    return folder_.write(name, content);
  }
  std::string path(const std::string& name) const { return folder_.path() / name; }

  static models::Inputs bytes(const std::string& text) {
    std::vector<int64_t> ids;
    for (const char c : text) ids.push_back(static_cast<unsigned char>(c));
    return {at::tensor(ids, at::kLong), at::tensor({int64_t{0}, std::ssize(text)}, at::kLong), {}};
  }

  const TemporaryFolder folder_;
  serve::TextModel model_;
};

Json parsed(const Ran& ran) { return parse_json(ran.out, "analyze"); }

std::vector<double> weights_of(const Json& vector) { return vector["weights"]; }

at::Tensor float64s(const std::vector<double>& values) { return at::tensor(values, at::kDouble); }

const std::string kSentence = "Who reads whom in here?";

TEST_F(AnalyzeCommand, PrintsTheSpectrumOfEachLayer) {
  const std::string first = text("abcdefghijklmnopqrstuvwxyz", "a.txt");
  const std::string second = text("the middle is what is read", "b.txt");
  const Ran ran = lowrank(
      {"analyze", "spectrum", model(), first, second, "--n", "8,12", "--rank", "3", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const Json json = parsed(ran);
  ASSERT_EQ(json.size(), 2u);
  EXPECT_EQ(json[1]["n"], 12);
  EXPECT_EQ(json[1]["sequences"], 2);
  // Two windows of 12 in either text; the middle is the second.
  const analysis::Spectrum expected =
      analysis::spectrum(*model_.model, {bytes("mnopqrstuvwx"), bytes("s what is re")}, 0.9);
  for (const int64_t layer : {0, 1}) {
    const Json head = json[1]["layers"][static_cast<size_t>(layer)]["heads"][2];
    EXPECT_NEAR(head["shares"]["3"].get<double>(), expected.cumulative[layer][2][2].item<double>(),
                1e-9);
    EXPECT_NEAR(head["rank"].get<double>(), expected.rank[layer][2].item<double>(), 1e-9);
  }
  const Ran table = lowrank({"analyze", "spectrum", model(), first, "--n", "8"});
  EXPECT_THAT(table.out, AllOf(StartsWith("n = 8, 1 sequence: 2 layers of 3 heads"),
                               HasSubstr("layer  share at 2  least head"),
                               HasSubstr("rank of 90 %"), HasSubstr("\nall ")));
}

TEST_F(AnalyzeCommand, LeavesOutTextsThatAreTooShort) {
  const std::string both = text("short\nabcdefghijkl\n");
  const Ran ran = lowrank({"analyze", "spectrum", model(), both, "--lines", "--n", "12"});
  EXPECT_EQ(ran.status, 0);
  EXPECT_THAT(ran.out, HasSubstr("n = 12, 1 sequence:"));
  EXPECT_EQ(ran.err, "note: left out 1 text shorter than n\n");
  const Ran none = lowrank({"analyze", "spectrum", model(), both, "--lines", "--n", "20"});
  EXPECT_EQ(none.status, 1);
  EXPECT_EQ(none.err,
            "lowrank analyze spectrum: --n = 20; no text has as many tokens. Give longer texts, or "
            "lower it.\n");
}

TEST_F(AnalyzeCommand, RefusesMorePositionsThanTheModelHas) {
  const std::string file = text(std::string(100, 'x'));
  const Ran ran = lowrank({"analyze", "error", model(), file, "--n", "40"});
  EXPECT_EQ(ran.status, 1);
  EXPECT_EQ(ran.err,
            "lowrank analyze error: --n = 40; the model takes at most 33 tokens. Lower it, or use "
            "--tile.\n");
  EXPECT_EQ(lowrank({"analyze", "error", model(), file, "--n", "40", "--tile"}).status, 0);
}

TEST_F(AnalyzeCommand, PrintsTheErrorOfEachApproximation) {
  const std::string file = text("what approximations cost here");
  const Ran ran = lowrank({"analyze", "error", model(), file, "--n", "24", "--landmarks", "4,24",
                           "--rank", "6", "--methods", "nystrom,pooled,best", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const Json json = parsed(ran)["approximations"];
  ASSERT_EQ(json.size(), 6u);  // nystrom 4, 24; pooled 6; best rank 4, 6, 24
  const std::vector<models::Inputs> sequences = {bytes("what approximations cost")};
  const analysis::Approximation nystrom{analysis::Method::kNystrom, 4};
  const at::Tensor errors = analysis::layer_errors(*model_.model, sequences, {nystrom});
  EXPECT_EQ(json[0]["method"], "nystrom");
  EXPECT_NEAR(json[0]["layers"][1].get<double>(), errors[0][1].item<double>(), 1e-9);
  EXPECT_NEAR(json[0]["mean_cosine"].get<double>(),
              analysis::closeness_with(*model_.model, sequences, {nystrom})[0].mean_cosine, 1e-9);
  EXPECT_LT(json[1]["error"].get<double>(), 1e-5);
  EXPECT_EQ(json[5]["method"], "best rank");
  EXPECT_EQ(json[5]["rank"], 24);
  EXPECT_LT(json[5]["error"].get<double>(), 1e-5);
  const Ran table = lowrank({"analyze", "error", model(), file, "--n", "24", "--layers-only"});
  EXPECT_THAT(table.out,
              AllOf(HasSubstr("in place of P v  rank  layer 0  layer 1   mean\n"),
                    HasSubstr("\nrandom "), HasSubstr("\nbest rank "), Not(HasSubstr("cosine"))));
}

TEST_F(AnalyzeCommand, PrintsWhatRandomProjectionsDo) {
  const std::string file = text("a text of some length, for projections");
  const Ran ran = lowrank({"analyze", "projection", model(), file, "--n", "8,32", "--rank", "16",
                           "--factor", "4", "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const Json json = parsed(ran);
  ASSERT_EQ(json.size(), 4u);
  EXPECT_EQ(json[1]["n"], 32);
  EXPECT_EQ(json[1]["rank"], 16);
  EXPECT_EQ(json[3]["rank"], 14);  // 4 ln 32
  EXPECT_GT(json[0]["largest_product_error"], json[0]["product_error"]);
  const Ran table = lowrank({"analyze", "projection", model(), file, "--n", "8,32"});
  EXPECT_THAT(table.out, AllOf(HasSubstr("\nr = 64 "), HasSubstr("\nr = 12 ln n ")));
}

TEST_F(AnalyzeCommand, ShowsRowsColumnsAndTheRolloutOfAnyKind) {
  const std::string file = text(kSentence);
  for (const AttentionKind& kind :
       {AttentionKind(ExactOptions{}), AttentionKind(NystromOptions{.landmarks = 4}),
        AttentionKind(LinformerOptions{.projected = 5, .max_length = 33})}) {
    save(kind);
    const Ran ran = lowrank({"analyze", "attention", model(), file, "--rows", "0,18", "--columns",
                             "5", "--rollout", "mean", "--layer", "1", "--head", "2", "--json"});
    ASSERT_EQ(ran.status, 0) << ran.err;
    const Json json = parsed(ran);
    ASSERT_EQ(json["tokens"].size(), 23u);
    EXPECT_EQ(json["tokens"][18]["token"], "h");
    EXPECT_EQ(json["tokens"][18]["begin_byte"], 18);
    ASSERT_EQ(json["vectors"].size(), 4u);
    const models::Inputs sequence = bytes(kSentence);
    const at::Tensor rows =
        analysis::look(*model_.model, sequence, 1, 2, analysis::Side::kRows, {0, 18});
    const at::Tensor column =
        analysis::look(*model_.model, sequence, 1, 2, analysis::Side::kColumns, {5});
    const at::Tensor rollout = analysis::rollout(*model_.model, sequence, {.head = 2});
    EXPECT_EQ(json["vectors"][1]["name"], "row 18 h reads");
    EXPECT_TRUE(at::allclose(float64s(weights_of(json["vectors"][1])), rows[1]));
    EXPECT_TRUE(at::allclose(float64s(weights_of(json["vectors"][2])), column[0]));
    EXPECT_TRUE(at::allclose(float64s(weights_of(json["vectors"][3])), rollout));
    EXPECT_NEAR(json["vectors"][3]["sum"].get<double>(), rollout.sum().item<double>(), 1e-6);
  }
}

TEST_F(AnalyzeCommand, PrintsTheLargestFirstAndSaysWhatIsNegative) {
  save(LinformerOptions{.projected = 5, .max_length = 33});
  const Ran ran =
      lowrank({"analyze", "attention", model(), text(kSentence), "--rows", "3", "--top", "4"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(
      ran.out,
      AllOf(StartsWith("23 tokens, layer 1, mean of 3 heads, linformer with 5 rows\n"),
            HasSubstr("row 3   reads: adds up to "), HasSubstr("% of the entries are negative"),
            HasSubstr("weight  place  bytes  token\n")));
  EXPECT_EQ(std::count(ran.out.begin(), ran.out.end(), '\n'), 3 + 1 + 4);
}

TEST_F(AnalyzeCommand, RollsOutWhatTheModelPoolsUnlessAskedOtherwise) {
  const std::string file = text(kSentence);
  EXPECT_THAT(lowrank({"analyze", "attention", model(), file}).out,
              HasSubstr("\nrollout from all rows: adds up to 1\n"));
  const BertFolder bert(Task::kEncoder);
  const Ran ran = lowrank({"analyze", "attention", bert.path(), bert.write("t.txt", "un a b a")});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out, AllOf(HasSubstr("\nrollout from row 0 [CLS]: adds up to 1"),
                             HasSubstr("  -  [CLS]\n"), HasSubstr("  0-2     un\n")));
}

TEST_F(AnalyzeCommand, WritesACsvAndAPage) {
  save(NystromOptions{.landmarks = 4, .conv = 5});
  const std::string file = text("a<b> & \"q\", \xc3\xa9\xff\n");
  const Ran ran = lowrank({"analyze", "attention", model(), file, "--rows", "1", "--csv",
                           path("a.csv"), "--html", path("a.html")});
  ASSERT_EQ(ran.status, 0) << ran.err;
  EXPECT_THAT(ran.out,
              HasSubstr("note: the convolution of layer 1 (5 taps over neighbors) is left out"));
  const std::string csv = read_file(path("a.csv"));
  EXPECT_THAT(csv,
              AllOf(StartsWith("place,token,begin_byte,end_byte,\"row 1 < reads\"\n0,\"a\",0,1,"),
                    HasSubstr("\n7,\"\"\"\",7,8,")));
  const std::string html = read_file(path("a.html"));
  EXPECT_THAT(html, AllOf(StartsWith("<!doctype html>"), HasSubstr(">&lt;</span>"),
                          HasSubstr(">&amp;</span>"), HasSubstr(">&quot;</span>"),
                          HasSubstr("title=\"12 to 13: "), HasSubstr(">\xc3\xa9</span>"),
                          HasSubstr(">&#xFFFD;</span>"), Not(HasSubstr("<b>"))));
}

TEST_F(AnalyzeCommand, DrawsPictures) {
  if (std::system("gnuplot --version > /dev/null 2>&1") != 0) {
    GTEST_SKIP() << "gnuplot is not installed.";
  }
  const std::string file = text(kSentence);
  const auto is_png = [&](const std::string& name) {
    return read_file(path(name)).starts_with("\x89PNG");
  };
  const auto draws = [&](std::vector<std::string> arguments, const std::string& flag,
                         const std::string& name) {
    arguments.insert(arguments.end(), {flag, path(name)});
    const Ran ran = lowrank(arguments);
    EXPECT_EQ(ran.status, 0) << ran.err;
    EXPECT_TRUE(is_png(name));
  };
  draws({"analyze", "spectrum", model(), file, "--n", "16"}, "--plot", "curve.png");
  draws({"analyze", "spectrum", model(), file, "--n", "16"}, "--heat-map", "map.png");
  draws({"analyze", "error", model(), file, "--n", "16", "--layers-only"}, "--plot", "error.png");
  draws({"analyze", "projection", model(), file, "--n", "8,16"}, "--plot", "jl.png");
  draws({"analyze", "attention", model(), file}, "--png", "one.png");
  draws({"analyze", "attention", model(), file, "--rows", "1,2"}, "--png", "two.png");
}

TEST_F(AnalyzeCommand, SaysWhatIsNotThere) {
  const std::string file = text(kSentence);
  const auto fails = [&](std::vector<std::string> more, int status, const std::string& sentence) {
    std::vector<std::string> arguments = {"analyze", "attention", model(), file};
    arguments.insert(arguments.end(), more.begin(), more.end());
    const Ran ran = lowrank(arguments);
    EXPECT_EQ(ran.status, status);
    EXPECT_EQ(ran.err.substr(0, ran.err.find('\n')), "lowrank analyze attention: " + sentence);
    EXPECT_EQ(ran.out, "");
  };
  fails({"--rows", "0", "--layer", "2"}, 1,
        "layer = 2; the model has 2, from 0 to 1. Choose one of them.");
  fails({"--rows", "0", "--head", "3"}, 1,
        "head = 3; a layer has 3, from 0 to 2. Choose one of them.");
  fails({"--rows", "23"}, 1, "row = 23; the sequence has 23, from 0 to 22. Choose one of them.");
  fails({"--columns", "99"}, 1,
        "column = 99; the sequence has 23, from 0 to 22. Choose one of them.");
  fails({"--rollout", "23"}, 1, "row = 23; the sequence has 23, from 0 to 22. Choose one of them.");
  fails({"--rollout", "csl"}, 2,
        "--rollout = csl is neither cls nor mean nor a place. See \"lowrank analyze attention "
        "--help\".");
  fails(
      {"--html", "/nowhere/at-all/a.html"}, 2,
      "--html = /nowhere/at-all/a.html; the folder /nowhere/at-all does not exist. Make it first.");
  fails({"--rosw", "1"}, 2,
        "unknown flag --rosw. Did you mean --rows? See \"lowrank analyze attention --help\".");
}

TEST_F(AnalyzeCommand, RefusesEmptyAndOverlongFiles) {
  const Ran empty = lowrank({"analyze", "attention", model(), text("")});
  EXPECT_EQ(empty.status, 1);
  EXPECT_THAT(empty.err, HasSubstr("text.txt is empty; there is no token to read. Give a text.\n"));
  const std::string file = text(std::string(40, 'x'));
  const Ran longer = lowrank({"analyze", "attention", model(), file});
  EXPECT_EQ(longer.status, 1);
  EXPECT_THAT(longer.err, HasSubstr("text.txt: 40 tokens; the model takes 33. Use --on-overflow "
                                    "truncate, tile or interpolate.\n"));
  const Ran cut = lowrank({"analyze", "attention", model(), file, "--on-overflow", "truncate"});
  EXPECT_EQ(cut.status, 0);
  EXPECT_THAT(cut.err, HasSubstr("note: only the first 33 tokens of "));
  for (const char* rule : {"tile", "interpolate"}) {
    const Ran grown = lowrank({"analyze", "attention", model(), file, "--on-overflow", rule});
    EXPECT_EQ(grown.status, 0) << grown.err;
    EXPECT_THAT(grown.out, StartsWith("40 tokens, mean of 3 heads, exact attention\n"));
  }
}

TEST_F(AnalyzeCommand, RefusesAModelOfAnotherPackage) {
  const TemporaryFolder folder;
  models::save_foreign(models::make_foreign(models::transmil::Options{}), folder.path());
  const Ran ran = lowrank({"analyze", "attention", folder.path().string(), text("a")});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, StartsWith("lowrank analyze attention: "));
  EXPECT_EQ(std::count(ran.err.begin(), ran.err.end(), '\n'), 1);
}

TEST(Analyze, NeedsAKnownCommand) {
  EXPECT_EQ(lowrank({"analyze", "spectum"}).err,
            "lowrank analyze: unknown command \"spectum\". Did you mean spectrum? See \"lowrank "
            "analyze --help\".\n");
  EXPECT_EQ(lowrank({"analyze"}).status, 2);
  for (const char* part : {"spectrum", "error", "projection", "attention"}) {
    const Ran ran = lowrank({"analyze", part, "--help"});
    EXPECT_EQ(ran.status, 0);
    EXPECT_THAT(ran.out, HasSubstr(std::string("EXAMPLE\n  lowrank analyze ") + part));
  }
}

}  // namespace
}  // namespace lowrank::testing
