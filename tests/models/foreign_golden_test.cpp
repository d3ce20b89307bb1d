// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "lowrank/models/foreign.h"
#include "tests/support/golden.h"

// The modules of other packages against what those packages computed.
namespace lowrank::models {
namespace {

using at::Tensor;
using Json = testing::GoldenJson;
using testing::Tensors;

Tensor find(const Tensors& tensors, const char* name) {
  const auto found = tensors.find(name);
  return found == tensors.end() ? Tensor() : found->second;
}

// A case's "param.*" under the names of the state_dict.
io::NamedTensors parameters(const Tensors& tensors) {
  io::NamedTensors named;
  for (const auto& [name, tensor] : tensors) {
    if (name.rfind("param.", 0) == 0) named.emplace_back(name.substr(6), tensor.detach());
  }
  return named;
}

// Runs a module with the case's parameters and puts its own in their place among `tensors`.
Tensor run(const ForeignOptions& options, Tensors& tensors, const ForeignInputs& inputs) {
  const ForeignModel model = make_foreign(options);
  load_tensors(*model.module, parameters(tensors), "the case");
  for (const auto& parameter : model.module->named_parameters()) {
    tensors["param." + parameter.key()] = parameter.value();
  }
  return model.module->forward(inputs);
}

ForeignInputs inputs_of(const Tensors& tensors) {
  const Tensor x = find(tensors, "x");
  return {.x = x.defined() ? x : tensors.at("ids"),
          .mask = find(tensors, tensors.count("input_mask") ? "input_mask" : "mask"),
          .query_mask = find(tensors, "embeddings_mask"),
          .context = find(tensors, "context")};
}

Tensor run_lucidrains(const Json& c, Tensors& tensors) {
  const lucidrains::Options options{.width = c.at("dim"),
                                    .layers = c.value("depth", 0),
                                    .heads = c.at("heads"),
                                    .head_size = c.at("dim_head"),
                                    .landmarks = c.at("num_landmarks"),
                                    .conv = c.value("residual_conv_kernel", 33)};
  return run(options, tensors, inputs_of(tensors));
}

Tensor run_linformer(const Json& c, Tensors& tensors) {
  const int64_t width = c.at("dim"), heads = c.at("heads");
  const linformer::Options options{.vocabulary = c.value("num_tokens", 0),
                                   .width = width,
                                   .layers = c.value("depth", 0),
                                   .heads = heads,
                                   .head_size = c.value("dim_head", width / heads),
                                   .max_length = c.at("seq_len"),
                                   .projected = c.at("k"),
                                   .one_kv_head = c.value("one_kv_head", false),
                                   .share_kv = c.value("share_kv", false),
                                   .reversible = c.value("reversible", false)};
  return run(options, tensors, inputs_of(tensors));
}

Tensor run_linformer_pytorch(const Json& c, Tensors& tensors) {
  using linformer_pytorch::Method;
  const std::map<std::string, Method> methods = {{"learnable", Method::kLearnable},
                                                 {"convolution", Method::kConvolution},
                                                 {"no_params", Method::kNoParameters}};
  const std::map<std::string, LinformerSharing> sharings = {
      {"none", LinformerSharing::kNone},
      {"headwise", LinformerSharing::kHeadwise},
      {"kv", LinformerSharing::kKeyValue},
      {"layerwise", LinformerSharing::kLayerwise}};
  const int64_t width = c.at("channels"), heads = c.at("nhead");
  const linformer_pytorch::Options options{
      .vocabulary = c.value("num_tokens", 0),
      .embedding = c.value("emb_dim", 0),
      .width = width,
      .layers = c.value("depth", 0),
      .heads = heads,
      .head_size = c.value("dim", width / heads),
      .max_length = c.at("input_size"),
      .projected = c.at("dim_k"),
      .projected_step = c.value("k_reduce_by_layer", 0),
      .feed_forward = c.value("dim_ff", 0),
      .activation = c.value("activation", "gelu"),
      .sharing = sharings.at(c.value("parameter_sharing", "layerwise")),
      .method = methods.at(c.value("method", "learnable")),
      .output_rank = c.value("w_o_intermediate_dim", 0),
      .causal = c.value("causal", false)};
  return run(options, tensors, inputs_of(tensors));
}

// There, sequences run along the first dimension.
Tensor run_fairseq(const Json& c, Tensors& tensors) {
  const int64_t length = c.at("max_seq_len"), ratio = c.at("compressed");
  const fairseq::Options options{.width = c.at("embed_dim"),
                                 .heads = c.at("heads"),
                                 .max_length = length,
                                 .projected = length / ratio,
                                 .shared_kv = c.at("shared_kv_compressed") == 1,
                                 .shared_layer = c.at("shared_layer")};
  ForeignInputs inputs;
  inputs.x = tensors.at("x").transpose(0, 1);
  return run(options, tensors, inputs).transpose(0, 1);
}

// The numbers of tensor `name` by the formula that the large TransMIL case names: FNV-1a of the name,
// then SplitMix64, as a fraction of 2^53, and c + a (2 u - 1).
Tensor from_formula(const std::string& name, const Json& rule) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char letter : name) {
    hash = (hash ^ static_cast<unsigned char>(letter)) * 0x100000001b3;
  }
  const auto sizes = rule.at("shape").get<std::vector<int64_t>>();
  const Tensor numbers = at::empty({c10::multiply_integers(sizes)}, at::kDouble);
  double* number = numbers.mutable_data_ptr<double>();
  for (int64_t i = 0; i < numbers.numel(); ++i) {
    uint64_t z = hash + (static_cast<uint64_t>(i) + 1) * 0x9E3779B97F4A7C15;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    z ^= z >> 31;
    number[i] = static_cast<double>(z >> 11) * 0x1p-53;
  }
  const double a = rule.at("a"), c = rule.at("c");
  return (c + a * (2 * numbers - 1)).to(at::kFloat).view(sizes);
}

Tensor run_transmil(const Json& c, Tensors& tensors) {
  if (c.contains("weights")) {
    const at::ScalarType dtype = tensors.at("x_first8").scalar_type();
    const std::string prefix = c.at("name_prefix");
    const auto same = [&](const char* recorded, const Tensor& made) {
      EXPECT_TRUE(at::equal(tensors.at(recorded), made.flatten().slice(0, 0, 8))) << recorded;
    };
    for (const auto& [name, rule] : c.at("weights").items()) {
      tensors["param." + name] = from_formula(prefix + name, rule).to(dtype);
    }
    tensors["x"] = from_formula(prefix + "x", c.at("x")).to(dtype);
    same("x_first8", tensors.at("x"));
    same("fc1_first8", tensors.at("param._fc1.0.weight"));
  }
  const transmil::Options options{
      .features = c.at("in_dim"), .width = c.at("dim"), .classes = c.at("classes")};
  return run(options, tensors, inputs_of(tensors));
}

void expect_all(const char* profile, const testing::GoldenFunction& function, int least) {
  int compared = 0;
  for (const Json& test_case : testing::golden_cases(profile)) {
    const Json& tensors = test_case.at("tensors");
    const bool attention_core = profile == std::string("lucidrains") && !tensors.contains("x");
    if (attention_core) continue;  // compared with the operators
    testing::expect_golden(test_case, at::kDouble, function);
    testing::expect_golden(test_case, at::kFloat, function);
    ++compared;
  }
  EXPECT_GE(compared, least);
}

TEST(ForeignGolden, LucidrainsNystromModulesAgree) {
  LOWRANK_NEEDS_GOLDEN();
  expect_all("lucidrains", run_lucidrains, 4);
}

TEST(ForeignGolden, LucidrainsLinformerModulesAgree) {
  LOWRANK_NEEDS_GOLDEN();
  expect_all("linformer", run_linformer, 12);
}

TEST(ForeignGolden, LinformerPytorchModulesAgree) {
  LOWRANK_NEEDS_GOLDEN();
  expect_all("linformer_pytorch", run_linformer_pytorch, 20);
}

TEST(ForeignGolden, FairseqsLinformerAttentionAgrees) {
  LOWRANK_NEEDS_GOLDEN();
  expect_all("fairseq", run_fairseq, 12);
}

TEST(ForeignGolden, TransMilAgrees) {
  LOWRANK_NEEDS_GOLDEN();
  expect_all("transmil", run_transmil, 3);
}

}  // namespace
}  // namespace lowrank::models
