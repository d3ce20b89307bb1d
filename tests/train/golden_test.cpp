// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "lowrank/models/hugging_face.h"
#include "lowrank/train/optimizer.h"
#include "tests/support/golden.h"

namespace lowrank::train {
namespace {

using at::Tensor;

// Where a recorded parameter of transformers' went: the same sizes, and before training the same bits.
Tensor find_same(const models::Model& model, const Tensor& before) {
  for (const auto& parameter : model.named_parameters()) {
    if (parameter->numel() == before.numel() && at::equal(parameter->flatten(), before.flatten())) {
      return parameter.value();
    }
  }
  return {};
}

// Three steps of torch's AdamW on a checkpoint of transformers, with weight decay everywhere.
TEST(GoldenAdamW, TakesTheRecordedSteps) {
  LOWRANK_NEEDS_GOLDEN();
  const auto folder = testing::golden_folder() / "models" / "nystrom_seqcls";
  const std::shared_ptr<models::Model> model = models::load_hugging_face(folder).model;
  const auto batch_file = io::load_safetensors(folder / "io.safetensors");
  const auto steps_file = io::load_safetensors(folder / "adamw.safetensors");
  const std::map<std::string, Tensor> batch(batch_file.begin(), batch_file.end());
  const std::map<std::string, Tensor> recorded(steps_file.begin(), steps_file.end());
  const auto weights = io::load_safetensors(folder / "model.safetensors");
  std::map<std::string, Tensor> ours;  // by their names, found before anything moves
  std::set<const void*> taken;
  for (const auto& [name, tensor] : weights) {
    const bool is_constant = tensor.eq(tensor.flatten()[0]).all().item<bool>();
    if (is_constant) continue;  // biases and norms before training look alike
    ours[name] = find_same(*model, tensor);
    ASSERT_TRUE(ours[name].defined()) << name;
    ASSERT_TRUE(taken.insert(ours[name].const_data_ptr()).second) << name;
  }
  EXPECT_GE(ours.size(), 15U);

  const Tensor ids = batch.at("plain.in.input_ids");
  const int64_t b = ids.size(0), n = ids.size(1);
  const models::Inputs inputs{.tokens = ids.flatten(),
                              .offsets = at::arange(b + 1, at::kLong) * n,
                              .segments = batch.at("plain.in.token_type_ids").flatten(),
                              .mask = at::ones({b * n}, at::kBool)};
  ParameterGroup group{.parameters = {}, .learning_rate = 1e-3, .weight_decay = 0.01};
  for (const auto& parameter : model->named_parameters()) {
    group.parameters.emplace_back(parameter.key(), parameter.value());
  }
  AdamW optimizer({group}, {0.9, 0.999}, 1e-8);
  std::vector<double> losses;
  for (int step = 0; step < 4; ++step) {
    optimizer.zero_grad();
    const Tensor loss = model->loss(inputs, batch.at("plain.in.labels"));
    losses.push_back(loss.item<double>());
    if (step == 3) break;
    loss.backward();
    optimizer.step(1);
  }
  const Tensor expected = recorded.at("losses");
  for (int64_t i = 0; i < 4; ++i) {
    EXPECT_NEAR(losses[static_cast<size_t>(i)], expected[i].item<double>(), 1e-5) << "step " << i;
  }
  std::set<std::string> not_comparable;
  std::ifstream index(testing::golden_folder() / "index.json");
  const auto all = testing::GoldenJson::parse(index);
  for (const auto& test_case : all.at("cases")) {
    if (test_case.at("id") != "models/nystrom_seqcls/adamw") continue;
    for (const auto& name : test_case.at("not_comparable")) not_comparable.insert(name);
  }
  int compared = 0;
  for (const auto& [name, tensor] : ours) {
    if (not_comparable.count(name)) continue;
    const Tensor& after = recorded.at("after3." + name);
    EXPECT_LE(testing::max_error(tensor.detach().flatten(), after.flatten()), 2e-5) << name;
    ++compared;
  }
  EXPECT_GE(compared, 12);
}

}  // namespace
}  // namespace lowrank::train
