// SPDX-License-Identifier: Apache-2.0
#include "lowrank/serve/array_model.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "lowrank/serve/text_model.h"
#include "tests/support/oracle.h"
#include "tests/support/small_module.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::serve {
namespace {

using at::Tensor;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

constexpr models::transmil::Options kTransmil{.features = 9, .width = 16, .classes = 3};
constexpr models::linformer::Options kLinformer{
    .width = 12, .layers = 1, .heads = 3, .head_size = 4, .max_length = 10, .projected = 5};
constexpr models::lucidrains::Options kNystrom{
    .width = 12, .heads = 3, .head_size = 4, .landmarks = 4, .conv = 5};

models::linformer::Options language_model() {
  models::linformer::Options options = kLinformer;
  options.vocabulary = 20;
  return options;
}

class Folder {
 public:
  explicit Folder(const models::ForeignOptions& options) : made_(testing::small_module(options)) {
    models::save_foreign(made_, folder_.path());
  }
  const models::ForeignModel& made() const { return made_; }
  const std::filesystem::path& path() const { return folder_.path(); }
  ArrayModel load(const std::string& dtype = "") const {
    return load_array_model(path(), "cpu", dtype);
  }

 private:
  testing::TemporaryFolder folder_;
  models::ForeignModel made_;
};

Tensor run_alone(const ArrayModel& model, const Tensor& array) {
  return run(model, sequences_of(model, array, "x.npy").at(0));
}

TEST(ArrayModel, GivesTheModulesOwnLogitsOfABag) {
  const Folder folder(kTransmil);
  const ArrayModel model = folder.load();
  EXPECT_TRUE(model.signature.classifies);
  EXPECT_EQ(model.package, "transmil");
  const Tensor bag = at::randn({7, 9});
  const at::NoGradGuard no_grad;
  const Tensor expected = folder.made().module->forward({.x = bag.unsqueeze(0)})[0];
  EXPECT_TRUE(testing::same_bits(run_alone(model, bag), expected));
  EXPECT_TRUE(testing::same_bits(run_alone(model, bag.to(at::kDouble)), expected));
}

// nystrom-attention starts its pseudo-inverse from a maximum over the batch: together they would differ.
TEST(ArrayModel, ASequenceDoesNotDependOnTheOthersOfItsArray) {
  const Folder folder(kNystrom);
  const ArrayModel model = folder.load();
  Tensor both = at::randn({2, 13, 12});
  both[1] *= 30;
  const std::vector<Tensor> sequences = sequences_of(model, both, "x.npy");
  ASSERT_EQ(sequences.size(), 2u);
  EXPECT_TRUE(testing::same_bits(run(model, sequences[0]), run_alone(model, both[0])));
  const at::NoGradGuard no_grad;
  EXPECT_FALSE(
      testing::same_bits(run(model, sequences[0]), folder.made().module->forward({.x = both})[0]));
}

TEST(ArrayModel, ReadsTokenIds) {
  const Folder folder(language_model());
  const ArrayModel model = folder.load();
  const Tensor logits = run_alone(model, at::arange(6, at::kInt));
  EXPECT_EQ(logits.sizes(), (std::vector<int64_t>{6, 20}));
}

TEST(ArrayModel, RunsInOtherDtypes) {
  const Folder folder(kLinformer);
  const Tensor x = at::randn({6, 12});
  const Tensor single = run_alone(folder.load(), x);
  const Tensor half = run_alone(folder.load("bfloat16"), x);
  EXPECT_EQ(half.scalar_type(), at::kFloat);
  EXPECT_LE(testing::max_error(half, single), 0.05 * single.abs().max().item<double>());
  EXPECT_EQ(run_alone(folder.load("float64"), x).scalar_type(), at::kDouble);
}

TEST(ArrayModel, RefusesArraysThatAModuleDoesNotRead) {
  const Folder bags(kTransmil), rows(kLinformer), words(language_model());
  const auto expect = [](const Folder& folder, const Tensor& array, const std::string& text) {
    EXPECT_THAT([&] { sequences_of(folder.load(), array, "x.npy"); },
                ThrowsMessage<Error>(HasSubstr(text)));
  };
  expect(bags, at::zeros({4, 8}), "x.npy: an array of shape [4, 8]; ");
  expect(bags, at::zeros({4, 8}), "reads [n, 9] or [b, n, 9]. Save a row for each vector.");
  expect(bags, at::zeros({9}), "an array of shape [9]");
  expect(bags, at::zeros({2, 2, 2, 9}), "an array of shape [2, 2, 2, 9]");
  expect(bags, at::zeros({0, 9}), "the array is empty");
  expect(bags, at::full({4, 9}, NAN), "it holds infinite numbers or NaN in float32");
  expect(bags, at::zeros({4, 9}, at::kComplexFloat), "the array holds complex numbers");
  expect(rows, at::zeros({11, 12}), "a sequence of 11 rows; ");
  expect(rows, at::zeros({11, 12}), "takes 10 at most. Cut it.");
  expect(words, at::zeros({3}), "its elements are float32; token ids are whole numbers");
  expect(words, at::full({3}, 20, at::kLong), "it holds the id 20; ");
  expect(words, at::full({3}, -1, at::kLong), "has tokens 0 to 19");
}

TEST(ArrayModel, NamesTheOneLengthOfLinformerPytorch) {
  const Folder folder(models::linformer_pytorch::Options{.width = 12,
                                                         .heads = 3,
                                                         .head_size = 4,
                                                         .max_length = 10,
                                                         .projected = 5,
                                                         .sharing = LinformerSharing::kNone});
  const ArrayModel model = folder.load();
  EXPECT_EQ(shape_in_words(model.signature), "[10, 12] or [b, 10, 12]");
  EXPECT_THAT(
      [&] {
        sequences_of(model, at::zeros({9, 12}), "x.npy");
      },
      ThrowsMessage<Error>(HasSubstr("takes 10 exactly. Pad it.")));
  EXPECT_EQ(run_alone(model, at::randn({10, 12})).sizes(), (std::vector<int64_t>{10, 12}));
}

TEST(ArrayModel, IsNoTextModel) {
  const Folder folder(kTransmil);
  EXPECT_THAT([&] { load_text_model(folder.path()); },
              ThrowsMessage<Error>(HasSubstr("this is a module of \"transmil\"; it reads arrays "
                                             "[n, 9] or [b, n, 9], not text. Use \"lowrank "
                                             "predict\" with it.")));
}

}  // namespace
}  // namespace lowrank::serve
