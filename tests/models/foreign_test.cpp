// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/foreign.h"

#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "lowrank/base/file.h"
#include "lowrank/models/foreign_format.h"
#include "lowrank/models/quirks.h"
#include "tests/support/oracle.h"
#include "tests/support/temporary_folder.h"

namespace lowrank::models {
namespace {

using at::Tensor;
using io::NamedTensors;
using linformer_pytorch::Method;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::ThrowsMessage;

struct Case {
  const char* name;
  ForeignFormat format;
  ForeignOptions options;
  ForeignHints hints;  // what the tensors do not tell
};

linformer_pytorch::Options pytorch_options(LinformerSharing sharing, Method method) {
  return {.width = 12,
          .layers = 2,
          .heads = 3,
          .head_size = 4,
          .max_length = 10,
          .projected = 5,
          .feed_forward = 20,
          .sharing = sharing,
          .method = method};
}

std::vector<Case> cases() {
  const lucidrains::Options nystrom{
      .width = 12, .heads = 3, .head_size = 5, .landmarks = 4, .conv = 5};
  lucidrains::Options nystromformer = nystrom, without_conv = nystrom;
  nystromformer.layers = 2;
  nystromformer.inverse_steps = 8;
  without_conv.conv = 0;
  const linformer::Options attention{
      .width = 12, .heads = 3, .head_size = 4, .max_length = 10, .projected = 5};
  linformer::Options encoder = attention, reversible = attention, language = attention;
  encoder.layers = 2;
  encoder.share_kv = true;
  reversible.layers = 3;
  reversible.reversible = true;
  language.layers = 1;
  language.vocabulary = 20;
  language.one_kv_head = true;
  auto kv = pytorch_options(LinformerSharing::kKeyValue, Method::kLearnable);
  auto layerwise = pytorch_options(LinformerSharing::kLayerwise, Method::kLearnable);
  auto convolution = pytorch_options(LinformerSharing::kHeadwise, Method::kConvolution);
  auto none = pytorch_options(LinformerSharing::kNone, Method::kNoParameters);
  auto alone = pytorch_options(LinformerSharing::kNone, Method::kLearnable);
  kv.vocabulary = layerwise.vocabulary = 20;
  kv.embedding = 6;
  kv.projected_step = 2;
  layerwise.feed_forward = 0;
  layerwise.causal = true;
  none.activation = "relu";
  none.output_rank = 7;
  alone.layers = alone.feed_forward = 0;
  const fairseq::Options fairseq_attention{
      .width = 12, .heads = 3, .max_length = 10, .projected = 5, .shared_kv = true};
  fairseq::Options shared_layer = fairseq_attention, two = fairseq_attention;
  shared_layer.shared_layer = true;
  shared_layer.shared_kv = false;
  two.shared_kv = false;
  const transmil::Options transmil{.features = 9, .width = 16, .classes = 3};
  using F = ForeignFormat;
  return {
      {"nystrom_attention", F::kLucidrains, nystrom, {.landmarks = 4}},
      {"nystromformer", F::kLucidrains, nystromformer, {.landmarks = 4, .inverse_steps = 8}},
      {"without_conv", F::kLucidrains, without_conv, {.heads = 3, .landmarks = 4}},
      {"linformer_attention", F::kLinformer, attention, {.heads = 3}},
      {"linformer", F::kLinformer, encoder, {.heads = 3}},
      {"linformer_reversible", F::kLinformer, reversible, {.heads = 3}},
      {"linformer_language", F::kLinformer, language, {}},
      {"pytorch_kv", F::kLinformerPytorch, kv, {}},
      {"pytorch_layerwise", F::kLinformerPytorch, layerwise, {.causal = true}},
      {"pytorch_convolution", F::kLinformerPytorch, convolution, {.max_length = 10}},
      {"pytorch_none", F::kLinformerPytorch, none, {.activation = "relu"}},
      {"pytorch_attention", F::kLinformerPytorch, alone, {}},
      {"fairseq_kv", F::kFairseqAttention, fairseq_attention, {.heads = 3}},
      {"fairseq_shared_layer", F::kFairseqAttention, shared_layer, {.heads = 3}},
      {"fairseq", F::kFairseqAttention, two, {.heads = 3}},
      {"transmil", F::kTransmil, transmil, {}},
  };
}

// A model with random numbers everywhere.
ForeignModel random_model(const ForeignOptions& options) {
  at::manual_seed(1);
  ForeignModel model = make_foreign(options);
  const at::NoGradGuard no_grad;
  for (auto& parameter : model.module->named_parameters()) parameter->normal_(0, 0.3);
  for (auto& buffer : model.module->named_buffers()) buffer->normal_(0, 0.3);
  return model;
}

// As upstream's state_dict: a tensor of several names under each of them.
NamedTensors state_dict(const ForeignModel& model) {
  NamedTensors tensors;
  for (const auto& entry : model.module->named_parameters()) {
    tensors.emplace_back(entry.key(), entry.value().detach().clone());
  }
  for (const auto& entry : model.module->named_buffers()) {
    tensors.emplace_back(entry.key(), entry.value().detach().clone());
  }
  return tensors;
}

NamedTensors without(NamedTensors tensors, const std::string& name) {
  std::erase_if(tensors, [&](const auto& entry) { return entry.first == name; });
  return tensors;
}

Tensor run(const ForeignModel& model) {
  const at::NoGradGuard no_grad;
  ForeignInputs inputs;
  inputs.x = at::linspace(-1, 1, 2 * 10 * 12).view({2, 10, 12});
  if (std::holds_alternative<transmil::Options>(model.options)) inputs.x = inputs.x.slice(2, 0, 9);
  const auto* of_linformer = std::get_if<linformer::Options>(&model.options);
  const auto* of_pytorch = std::get_if<linformer_pytorch::Options>(&model.options);
  if ((of_linformer && of_linformer->vocabulary > 0) ||
      (of_pytorch && of_pytorch->vocabulary > 0)) {
    inputs.x = at::arange(20).view({2, 10});
  }
  return model.module->forward(inputs);
}

class Foreign : public ::testing::TestWithParam<Case> {};

TEST_P(Foreign, IsRecognizedAndItsOptionsAreInTheTensorsAndHints) {
  const Case& c = GetParam();
  const ForeignModel model = random_model(c.options);
  const NamedTensors tensors = state_dict(model);
  ASSERT_EQ(recognize(tensors), c.format);
  EXPECT_EQ(infer_options(tensors, c.format, c.hints, "file"), c.options);
  EXPECT_TRUE(
      testing::same_bits(run(import_foreign(tensors, c.format, c.hints, "file")), run(model)));
}

TEST_P(Foreign, ASavedModelIsReadBackToTheBit) {
  const ForeignModel model = random_model(GetParam().options);
  const testing::TemporaryFolder folder;
  save_foreign(model, folder.path());
  EXPECT_TRUE(is_foreign(parse_json(read_file(folder.path() / "config.json"), "config.json")));
  const ForeignModel read = load_foreign(folder.path());
  EXPECT_EQ(read.options, model.options);
  EXPECT_FALSE(read.module->is_training());
  const NamedTensors before = state_dict(model), after = state_dict(read);
  ASSERT_EQ(before.size(), after.size());
  for (size_t i = 0; i < before.size(); ++i) {
    EXPECT_EQ(before[i].first, after[i].first);
    EXPECT_TRUE(testing::same_bits(before[i].second, after[i].second)) << before[i].first;
  }
  EXPECT_TRUE(testing::same_bits(run(read), run(model)));
}

TEST_P(Foreign, EveryTensorIsNeededAndNoOtherIsTaken) {
  const ForeignModel model = random_model(GetParam().options);
  const NamedTensors tensors = state_dict(model);
  for (const auto& [name, tensor] : tensors) {
    ForeignModel other = make_foreign(GetParam().options);
    const NamedTensors rest = without(tensors, name);
    const auto load = [&] { load_tensors(*other.module, rest, "file"); };
    const bool tied = std::any_of(rest.begin(), rest.end(), [&](const auto& entry) {
      return at::equal(entry.second, tensor);
    });
    if (tied) {
      EXPECT_NO_THROW(load()) << name;
      EXPECT_TRUE(testing::same_bits(run(other), run(model)));
    } else {
      EXPECT_THAT(load, ThrowsMessage<Error>(HasSubstr("\"" + name + "\" is missing")));
    }
  }
  NamedTensors more = tensors;
  more.emplace_back("another", at::zeros({1}));
  EXPECT_THAT([&] { load_tensors(*model.module, more, "file"); },
              ThrowsMessage<Error>(HasSubstr("\"another\" is extra")));
}

TEST_P(Foreign, ATensorOfAnyOtherShapeIsAnError) {
  const NamedTensors tensors = state_dict(random_model(GetParam().options));
  const std::vector<Tensor> wrong = {at::zeros({}),           at::zeros({0}),
                                     at::zeros({0, 0}),       at::zeros({1, 0, 3}),
                                     at::zeros({2, 2, 2, 2}), at::zeros({3}, at::kLong)};
  for (size_t i = 0; i < tensors.size(); ++i) {
    for (const Tensor& other : wrong) {
      NamedTensors broken = tensors;
      broken[i].second = other;
      EXPECT_THROW(import_foreign(broken, GetParam().format, GetParam().hints, "file"), Error)
          << tensors[i].first << " as " << other.sizes();
    }
  }
}

TEST_P(Foreign, TheDtypeOfTheFileIsKept) {
  const ForeignModel model = random_model(GetParam().options);
  model.module->to(at::kDouble);
  const testing::TemporaryFolder folder;
  save_foreign(model, folder.path());
  for (const auto& [name, tensor] : state_dict(load_foreign(folder.path()))) {
    EXPECT_EQ(tensor.scalar_type(), at::kDouble) << name;
  }
}

TEST_P(Foreign, QuirksAreSentences) {
  const std::vector<Quirk> found = quirks(GetParam().options);
  EXPECT_FALSE(found.empty());
  for (const Quirk& quirk : found) {
    EXPECT_FALSE(quirk.name.empty());
    for (const std::string& sentence : {quirk.does, quirk.costs}) {
      EXPECT_TRUE(sentence.ends_with('.')) << sentence;
      EXPECT_TRUE(std::isupper(sentence.front()) || std::isdigit(sentence.front())) << sentence;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, Foreign, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.name; });

TEST(ForeignTensors, EveryProblemIsInOneError) {
  const lucidrains::Options options{
      .width = 12, .heads = 3, .head_size = 5, .landmarks = 4, .conv = 5};
  const ForeignModel model = random_model(options);
  NamedTensors tensors = without(state_dict(model), "res_conv.weight");
  tensors.emplace_back("res_conv.bias", at::zeros({3}));
  for (auto& [name, tensor] : tensors) {
    if (name == "to_out.0.bias") tensor = at::zeros({7});
  }
  EXPECT_THAT(
      [&] { load_tensors(*model.module, tensors, "model.pt"); },
      ThrowsMessage<Error>(AllOf(HasSubstr("model.pt: 3 of its tensors do not fit"),
                                 HasSubstr("\"to_out.0.bias\" is Float [7] instead of Float [12]"),
                                 HasSubstr("\"res_conv.weight\" is missing"),
                                 HasSubstr("\"res_conv.bias\" is extra"))));
}

TEST(ForeignTensors, TwoNamesOfOneTensorMustAgree) {
  const ForeignModel model =
      random_model(pytorch_options(LinformerSharing::kLayerwise, Method::kLearnable));
  NamedTensors tensors = state_dict(model);
  for (auto& [name, tensor] : tensors) {
    if (name == "seq.2.fn.heads.1.F.weight") tensor = tensor + 1;
  }
  EXPECT_THAT([&] { load_tensors(*model.module, tensors, "model.pt"); },
              ThrowsMessage<Error>(HasSubstr("\"seq.2.fn.heads.1.F.weight\" differs from")));
}

TEST(ForeignFormatTest, WrappersDoNotHideAModel) {
  NamedTensors tensors = state_dict(random_model(transmil::Options{.features = 9, .width = 16}));
  for (auto& [name, tensor] : tensors) name = "module.model." + name;
  EXPECT_EQ(recognize(without_wrappers(tensors)), ForeignFormat::kTransmil);
  const ForeignModel model =
      import_foreign(without_wrappers(tensors), ForeignFormat::kTransmil, {}, "file");
  EXPECT_EQ(profile_of(model.options), Profile::kTransmil);
}

TEST(ForeignFormatTest, OtherTensorsAreNotRecognized) {
  EXPECT_EQ(recognize({}), std::nullopt);
  EXPECT_EQ(recognize({{"bert.embeddings.word_embeddings.weight", at::zeros({2, 2})}}),
            std::nullopt);
}

TEST(ForeignFormatTest, SaysWhichHintIsMissingOrWrong) {
  const auto infer = [](const ForeignOptions& options, ForeignFormat format, ForeignHints hints) {
    return [=] { infer_options(state_dict(random_model(options)), format, hints, "a.pt"); };
  };
  const linformer::Options linformer{.width = 12, .heads = 3, .head_size = 4};
  EXPECT_THAT(infer(linformer, ForeignFormat::kLinformer, {}),
              ThrowsMessage<Error>(HasSubstr(
                  "a.pt: heads is not to be seen in the tensors of linformer. Pass heads.")));
  EXPECT_THAT(infer(linformer, ForeignFormat::kLinformer, {.heads = 5}),
              ThrowsMessage<Error>(HasSubstr("heads = 5 does not divide 12")));
  const lucidrains::Options nystrom{.width = 12, .heads = 3, .head_size = 4, .landmarks = 4};
  EXPECT_THAT(infer(nystrom, ForeignFormat::kLucidrains, {}),
              ThrowsMessage<Error>(HasSubstr("landmarks is not to be seen")));
  EXPECT_THAT(
      infer(nystrom, ForeignFormat::kLucidrains, {.heads = 4, .landmarks = 4}),
      ThrowsMessage<Error>(HasSubstr("heads = 4; the tensors of nystrom-attention have 3")));
}

TEST(ForeignFormatTest, MatricesThatUpstreamDidNotSaveAreAskedFor) {
  const ForeignModel model =
      random_model(pytorch_options(LinformerSharing::kNone, Method::kNoParameters));
  NamedTensors tensors = state_dict(model);
  std::erase_if(tensors, [](const auto& entry) {
    return entry.first.ends_with(".E") || entry.first.ends_with(".F");
  });
  ASSERT_EQ(recognize(tensors), ForeignFormat::kLinformerPytorch);
  EXPECT_THAT([&] { infer_options(tensors, ForeignFormat::kLinformerPytorch, {}, "a.pt"); },
              ThrowsMessage<Error>(HasSubstr("no_params keeps E and F out of the state_dict")));
}

TEST(ForeignConfig, OtherConfigurationsAreNotForeign) {
  EXPECT_FALSE(is_foreign({{"format", "lowrank-model"}, {"version", 1}}));
  EXPECT_FALSE(is_foreign({{"model_type", "bert"}}));
  EXPECT_FALSE(is_foreign(Json::array()));
}

TEST(ForeignConfig, ChecksItsNumbers) {
  const testing::TemporaryFolder folder;
  const auto load = [&](const char* model) {
    folder.write(
        "config.json",
        std::string(R"({"format": "lowrank-foreign", "version": 1, "model": )") + model + "}");
    return [&] { load_foreign(folder.path()); };
  };
  const auto expect = [&](const char* model, const char* message) {
    EXPECT_THAT(load(model), ThrowsMessage<Error>(HasSubstr(message)));
  };
  expect(R"({"profile": "lucidrains", "conv": 4})",
         "conv = 4; it must be odd, or 0 for none. Use 5.");
  expect(R"({"profile": "linformer", "projected": 9, "max_length": 8})",
         "projected = 9 exceeds max_length = 8");
  expect(R"({"profile": "fairseq", "heads": 5})", "heads = 5 does not divide width = 768");
  expect(R"({"profile": "hf"})", "profile = \"hf\"; it must be one of");
  expect(R"({"profile": "transmil", "heads": 8})", "key \"model.heads\" is not known");
  expect(R"({"width": 4})", "\"model.profile\" is missing");
}

TEST(EncoderQuirks, ThoseThatAModelDoesNotHaveAreLeftOut) {
  const auto names = [](Profile profile, const EncoderTraits& traits) {
    std::vector<std::string> found;
    for (const Quirk& quirk : quirks(profile, traits)) found.push_back(quirk.name);
    return found;
  };
  EXPECT_TRUE(names(Profile::kNone, {}).empty());
  EXPECT_THAT(names(Profile::kHuggingFace, {}), ::testing::Contains("batch-wide start"));
  EXPECT_THAT(names(Profile::kHuggingFace, {.per_matrix_start = true}),
              ::testing::Not(::testing::Contains("batch-wide start")));
  EXPECT_THAT(names(Profile::kHuggingFace, {.exact = true, .conv = false}),
              ::testing::ElementsAre("exact attention"));
  EXPECT_THAT(names(Profile::kMlpen, {}), ::testing::Contains("padding in the landmarks"));
  EXPECT_THAT(names(Profile::kFairseq, {}), ::testing::Contains("biases after compression"));
}

}  // namespace
}  // namespace lowrank::models
