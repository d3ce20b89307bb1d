// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include "lowrank/models/hugging_face.h"
#include "tests/support/golden.h"

// Checkpoints of transformers with their recorded hidden states, logits, losses and gradients.
namespace lowrank::models {
namespace {

using at::Tensor;
using testing::GoldenJson;
using testing::Tensors;

// Our names of the parameters whose gradients were recorded.
std::string our_name(std::string name) {
  const auto replace = [&](const std::string& from, const std::string& to) {
    if (const size_t at = name.find(from); at != std::string::npos) {
      name.replace(at, from.size(), to);
    }
  };
  name = name.substr(name.find('.') + 1);  // bert., nystromformer.
  replace("embeddings.word_embeddings.weight", "embeddings.tokens");
  replace("encoder.layer.", "layers.");
  replace("attention.self.conv.weight", "attention.filter");
  replace("attention.self.", "attention.");
  replace("output.dense", "contract");
  return name;
}

// One of a case's two runs ("plain", "masked") and the model that it is compared with.
class Comparison {
 public:
  Comparison(const GoldenJson& test_case, const std::string& run, at::ScalarType dtype)
      : id_(test_case.at("id")), run_(run), dtype_(dtype) {
    const auto folder = testing::golden_folder() / test_case.at("dir").get<std::string>();
    model_ = load_hugging_face(folder).model;
    model_->to(dtype);
    recorded_ = testing::golden_tensors(test_case);
    deviation_ = test_case.at("runs").at(run).at("fp32_deviation");
    padded_ = model_->config().compat.profile != Profile::kNone;
    prepare();
  }

  void hidden_states() {
    const std::vector<Tensor> states = model_->hidden_states(inputs_);
    for (size_t i = 0; i < states.size(); ++i) {
      const std::string name = "hidden." + std::to_string(i);
      if (recorded_.count(run_ + ".out." + name)) expect_close(name, states[i], true);
    }
  }

  void outputs() {
    const Tensor logits = model_->logits(inputs_);
    switch (model_->config().task) {
      case Task::kEncoder:
        return expect_close("pooler_output", logits, false);
      case Task::kQuestionAnswering:
        expect_close("start_logits", logits.select(1, 0), true);
        return expect_close("end_logits", logits.select(1, 1), true);
      case Task::kMultipleChoice:
        return expect_close("logits", logits.view(recorded("out.logits").sizes()), false);
      default:
        expect_close("logits", logits, is_about_tokens(model_->config().task));
    }
  }

  void loss_and_gradients() {
    if (model_->config().task == Task::kEncoder) return;
    const Tensor loss = model_->loss(inputs_, labels());
    expect_close("loss", loss.view({1}), false);
    std::vector<Tensor> leaves;
    std::vector<std::string> names;
    const auto parameters = model_->named_parameters();
    for (const auto& [name, tensor] : recorded_) {
      const std::string start = run_ + ".out.grad.";
      if (!name.starts_with(start)) continue;
      names.push_back(name.substr(run_.size() + 5));
      leaves.push_back(parameters[our_name(name.substr(start.size()))]);
    }
    ASSERT_FALSE(names.empty());
    const std::vector<Tensor> gradients = torch::autograd::grad({loss}, leaves);
    for (size_t i = 0; i < names.size(); ++i) {
      const Tensor& expected = recorded("out." + names[i]);
      expect_close(names[i], gradients[i].view(expected.sizes()), false);
    }
  }

 private:
  const Tensor& recorded(const std::string& name) const { return recorded_.at(run_ + "." + name); }

  // With a profile the batch goes in as it was recorded, paddings and all; without one, ragged.
  void prepare() {
    const Tensor ids = recorded("in.input_ids");
    const int64_t n = ids.size(-1), b = ids.numel() / n;
    const Tensor mask = recorded("in.attention_mask").to(at::kBool).flatten();
    rows_ = padded_ ? at::arange(b * n) : mask.nonzero().squeeze(1);
    const auto taken = [&](const Tensor& values) {
      return values.flatten().index_select(0, rows_);
    };
    const Tensor lengths = padded_ ? at::full({b}, n, at::kLong) : mask.view({b, n}).sum(1);
    inputs_.tokens = taken(ids);
    inputs_.offsets = at::cat({at::zeros({1}, at::kLong), lengths.cumsum(0)});
    if (recorded_.count(run_ + ".in.token_type_ids")) {
      inputs_.segments = taken(recorded("in.token_type_ids"));
    }
    if (padded_) inputs_.mask = mask;
  }

  Tensor labels() const {
    if (model_->config().task == Task::kQuestionAnswering) {
      return at::stack({recorded("in.start_positions"), recorded("in.end_positions")}, 1);
    }
    const Tensor labels = recorded("in.labels");
    return is_about_tokens(model_->config().task) ? labels.flatten().index_select(0, rows_)
                                                  : labels;
  }

  // The recording's rule; in float64 what its float32 storage leaves. A fully masked sequence is
  // none here: no case has one.
  void expect_close(const std::string& name, const Tensor& got, bool is_of_rows) {
    Tensor expected = recorded("out." + name);
    if (is_of_rows) {
      expected = expected.reshape({-1, got.numel() / got.size(0)}).index_select(0, rows_);
      expected = expected.view(got.sizes());
    }
    ASSERT_EQ(got.sizes(), expected.sizes()) << id_ << " " << name;
    const double floor = name.starts_with("grad.") ? 5e-5 : 1e-5;
    double share = dtype_ == at::kDouble ? 2e-7 : floor;
    if (dtype_ != at::kDouble && deviation_.contains(name)) {
      share = std::max(share, 8 * deviation_.at(name).at("rel_to_max").get<double>());
    }
    const double error = testing::max_error(got.detach(), expected);
    EXPECT_TRUE(error <= share * testing::largest(expected))
        << id_ << " " << run_ << " " << name << " in " << dtype_ << ": error " << error << " of "
        << testing::largest(expected);
  }

  std::string id_, run_;
  at::ScalarType dtype_;
  std::shared_ptr<Model> model_;
  Tensors recorded_;
  GoldenJson deviation_;
  bool padded_ = false;
  Inputs inputs_;
  Tensor rows_;  // of the recorded batch that the inputs hold
};

TEST(GoldenModels, GiveTheRecordedStatesLogitsLossesAndGradients) {
  LOWRANK_NEEDS_GOLDEN();
  int compared = 0;
  for (const GoldenJson& test_case : testing::golden_models()) {
    for (const std::string run : {"plain", "masked"}) {
      for (const at::ScalarType dtype : {at::kDouble, at::kFloat}) {
        Comparison comparison(test_case, run, dtype);
        comparison.hidden_states();
        comparison.outputs();
        comparison.loss_and_gradients();
        ++compared;
      }
    }
  }
  EXPECT_GE(compared, 10 * 2 * 2);
}

// What a profile is for: alone, a sequence is what it is in its padded batch only where no quirk bites.
TEST(GoldenModels, DependOnPaddingUnderTheProfileAndNotWhenFixed) {
  LOWRANK_NEEDS_GOLDEN();
  const auto folder = testing::golden_folder() / "models" / "dense_seqcls";
  const at::NoGradGuard no_grad;
  const Tensor tokens = at::arange(20) + 5;
  const Tensor mates = at::cat({tokens, at::arange(33) + 100});
  const auto change = [&](bool fixed) {
    const std::shared_ptr<Model> model = load_hugging_face(folder, fixed).model;
    model->to(at::kDouble);
    const Tensor alone = model->encode({tokens, at::tensor({0, 20}, at::kLong), {}}).x;
    const Tensor among = model->encode({mates, at::tensor({0, 20, 53}, at::kLong), {}}).x;
    return testing::max_error(alone, among.slice(0, 0, 20));
  };
  EXPECT_GT(change(false), 1e-2);
  EXPECT_LE(change(true), 1e-12);
}

}  // namespace
}  // namespace lowrank::models
