// SPDX-License-Identifier: Apache-2.0
#include "lowrank/cli/array_inputs.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/config.h"
#include "lowrank/base/file.h"
#include "lowrank/io/npy.h"
#include "lowrank/models/model_directory.h"
#include "tests/cli/tiny_task.h"
#include "tests/support/oracle.h"
#include "tests/support/small_module.h"
#include "tests/support/small_text_model.h"

// `lowrank predict` and `lowrank embed` with modules of other packages.
namespace lowrank::testing {
namespace {

using at::Tensor;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

// A folder with a module of each sort, and arrays.
class ArrayInputs : public ::testing::Test {
 protected:
  ArrayInputs() {
    const std::pair<const char*, models::ForeignOptions> modules[] = {
        {"bags", models::transmil::Options{.features = 9, .width = 16, .classes = 3}},
        {"rows", models::lucidrains::Options{
                     .width = 12, .heads = 3, .head_size = 4, .landmarks = 4, .conv = 5}}};
    for (const auto& [name, options] : modules) {
      std::filesystem::create_directory(folder_.path() / name);
      made_.push_back(small_module(options));
      models::save_foreign(made_.back(), folder_.path() / name);
    }
  }

  std::string path(const std::string& name) const { return (folder_.path() / name).string(); }
  std::string save(const std::string& name, const Tensor& array) const {
    io::save_npy(path(name), array);
    return path(name);
  }
  Tensor run(size_t module, const Tensor& sequence) const {
    const at::NoGradGuard no_grad;
    return made_[module].module->forward({.x = sequence.unsqueeze(0)})[0];
  }

  TemporaryFolder folder_;
  std::vector<models::ForeignModel> made_;
};

TEST_F(ArrayInputs, PredictGivesTheProbabilitiesOfEachBag) {
  const Tensor bag = at::randn({7, 9}), two = at::randn({2, 5, 9}, at::kDouble);
  const Ran ran =
      lowrank({"predict", path("bags"), save("one.npy", bag), save("two.npy", two), "--json"});
  ASSERT_EQ(ran.status, 0) << ran.err;
  const Tensor expected[] = {run(0, bag), run(0, two[0].to(at::kFloat)),
                             run(0, two[1].to(at::kFloat))};
  const std::string sources[] = {path("one.npy"), path("two.npy") + "[0]", path("two.npy") + "[1]"};
  std::istringstream lines(ran.out);
  for (size_t i = 0; i < 3; ++i) {
    std::string line;
    ASSERT_TRUE(std::getline(lines, line));
    const Json object = parse_json(line, "predict");
    EXPECT_EQ(object["source"], sources[i]);
    ASSERT_EQ(object["labels"].size(), 3u);
    const Tensor probabilities = expected[i].to(at::kDouble).softmax(0);
    double last = 1;
    for (const Json& label : object["labels"]) {
      const double found = label["probability"];
      EXPECT_NEAR(found,
                  probabilities[std::stoll(label["label"].get<std::string>())].item<double>(),
                  1e-12);
      EXPECT_LE(found, last);
      last = found;
    }
  }
  const Ran table = lowrank({"predict", path("bags"), path("one.npy"), "--top", "1"});
  EXPECT_THAT(table.out, AllOf(StartsWith(path("one.npy") + "  "), HasSubstr(" %\n")));
  const std::string bytes = read_file(path("one.npy"));
  EXPECT_THAT(lowrank({"predict", path("bags")}, bytes).out, StartsWith("stdin  "));
}

TEST_F(ArrayInputs, EmbedWritesAnArrayOfAnArray) {
  const Tensor one = at::randn({7, 12}), two = at::randn({2, 5, 12});
  for (const Tensor& array : {one, two}) {
    const Ran ran =
        lowrank({"embed", path("rows"), save("in.npy", array), "--output", path("out.npy")});
    ASSERT_EQ(ran.status, 0) << ran.err;
    const Tensor found = io::load_npy(path("out.npy"));
    const Tensor expected =
        array.dim() == 2 ? run(1, array) : at::stack({run(1, array[0]), run(1, array[1])});
    EXPECT_TRUE(same_bits(found, expected));
  }
}

TEST_F(ArrayInputs, ArraysAndTextsThatDoNotFitTheModelAreOneSentenceEach) {
  const std::string good = save("good.npy", at::randn({4, 9}));
  const std::string narrow = save("narrow.npy", at::zeros({4, 8}));
  const std::string text = folder_.write("notes.txt", "some text");
  const Ran ran = lowrank({"predict", path("bags"), narrow, text, good, path("absent.npy")});
  EXPECT_EQ(ran.status, 1);
  EXPECT_THAT(ran.err, HasSubstr("lowrank predict: " + narrow + ": an array of shape [4, 8]; "));
  EXPECT_THAT(ran.err,
              HasSubstr("lowrank predict: " + text + ": this is no .npy file; " + path("bags") +
                        " is a module of \"transmil\" and reads arrays, not text. "
                        "Write [n, 9] or [b, n, 9] with numpy.save."));
  EXPECT_THAT(ran.err, HasSubstr("absent.npy"));
  EXPECT_THAT(ran.out, StartsWith(good + "  "));

  const serve::TextModel reader = small_text_model();
  std::filesystem::create_directory(path("reader"));
  models::save_model(*reader.model, path("reader"));
  for (const char* format : {"", "--lines"}) {
    std::vector<std::string> arguments = {"embed", path("reader"), good};
    if (*format != '\0') arguments.emplace_back(format);
    const Ran of_text = lowrank(arguments);
    EXPECT_EQ(of_text.status, 1);
    EXPECT_THAT(of_text.err,
                StartsWith("lowrank embed: " + good +
                           ": this is an array of NumPy's, and the model reads text. "));
    EXPECT_EQ(of_text.out, "");
  }
  EXPECT_THAT(lowrank({"fill", path("bags"), "a [MASK]"}).err,
              HasSubstr("it reads arrays [n, 9] or [b, n, 9], not text."));
}

TEST_F(ArrayInputs, CommandsAndFlagsThatDoNotFitTheModuleAreMisuse) {
  const std::string nine = save("nine.npy", at::randn({4, 9}));
  const std::string twelve = save("twelve.npy", at::randn({4, 12})), out = path("out.npy");
  const auto expect = [](const std::vector<std::string>& arguments, const std::string& sentence) {
    const Ran ran = lowrank(arguments);
    EXPECT_EQ(ran.status, 2);
    EXPECT_THAT(ran.err, HasSubstr(sentence));
    EXPECT_EQ(ran.out, "");
  };
  expect({"predict", path("rows"), twelve},
         "has no classes: it makes vectors of rows. Use \"lowrank embed\" with it.");
  expect({"embed", path("bags"), nine, "--output", out},
         "has classes and no vectors to give. Use \"lowrank predict\"");
  expect({"embed", path("rows"), twelve},
         "makes an array of an array. Name a .npy file with --output.");
  expect({"embed", path("rows"), twelve, "--output", out, "--format", "csv"},
         "makes an array of an array.");
  expect({"embed", path("rows"), twelve, twelve, "--output", out},
         "2 arrays are named, and one --output. Embed them one by one.");
  expect({"predict", path("bags"), nine, "--lines"}, "--lines is about text; ");
  expect({"embed", path("rows"), twelve, "--output", out, "--pooling", "cls"},
         "--pooling is about text; ");
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST_F(ArrayInputs, InfoSaysWhatAModuleReadsAndTheCommandForIt) {
  const Ran bags = lowrank({"info", path("bags")});
  EXPECT_THAT(bags.out, HasSubstr("arrays [n, 9] or [b, n, 9]"));
  EXPECT_THAT(bags.out, HasSubstr("the probability of each of 3 classes"));
  EXPECT_THAT(bags.out, HasSubstr("lowrank predict " + path("bags") + " FILE.npy\n"));
  EXPECT_THAT(lowrank({"info", path("rows")}).out,
              HasSubstr("lowrank embed " + path("rows") + " FILE.npy --output OUT.npy\n"));
}

}  // namespace
}  // namespace lowrank::testing
