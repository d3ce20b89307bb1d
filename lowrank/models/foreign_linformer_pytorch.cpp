// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/foreign_linformer_pytorch.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace lowrank::models::linformer_pytorch {
namespace {

constexpr double kPositionBase = 100000;

at::Tensor activated(const at::Tensor& x, const std::string& activation) {
  return activation == "relu" ? at::relu(x) : at::gelu(x);
}

class FeedForward : public ForeignModule {
 public:
  explicit FeedForward(const Options& options)
      : activation_(options.activation),
        w_1_(register_module("w_1", make_linear(options.width, options.feed_forward))),
        w_2_(register_module("w_2", make_linear(options.feed_forward, options.width))) {}
  at::Tensor forward(const ForeignInputs& inputs) override {
    return w_2_(activated(w_1_(inputs.x), activation_));
  }

 private:
  std::string activation_;
  torch::nn::Linear w_1_, w_2_;
};

// Under `name` of a head: a module, or the bare matrix.
void register_projection(torch::nn::Module& head, const char* name, const Options& options,
                         const std::shared_ptr<Projection>& projection) {
  if (options.method == Method::kNoParameters) {
    head.register_buffer(name, projection->weight());
  } else {
    head.register_module(name, projection);
  }
}

at::Tensor masked(const at::Tensor& x, const at::Tensor& mask) {
  return mask.defined() ? x.masked_fill(mask.logical_not().unsqueeze(2), 0) : x;
}

}  // namespace

Projection::Projection(const Options& options, int64_t projected) : method_(options.method) {
  const int64_t n = options.max_length, d = options.head_size;
  switch (method_) {
    case Method::kLearnable:
      weight_ = register_parameter("weight", at::zeros({projected, n}));
      bias_ = register_parameter("bias", at::zeros({projected}));
      break;
    case Method::kConvolution:
      weight_ = register_parameter("weight", at::zeros({d, d, n / projected}));
      bias_ = register_parameter("bias", at::zeros({d}));
      break;
    case Method::kNoParameters:
      weight_ = at::zeros({n, projected});  // a buffer of the heads
      break;
  }
}

at::Tensor Projection::apply(const at::Tensor& x) const {
  const at::Tensor columns = x.transpose(1, 2);  // [b, d, n]
  switch (method_) {
    case Method::kLearnable:
      return at::linear(columns, weight_, bias_).transpose(1, 2);
    case Method::kConvolution:
      return at::conv1d(columns, weight_, bias_, weight_.size(2)).transpose(1, 2);
    case Method::kNoParameters:
      break;
  }
  return at::matmul(columns, weight_).transpose(1, 2);
}

MultiHeadAttention::MultiHeadAttention(const Options& options, int64_t projected,
                                       std::shared_ptr<Projection> shared)
    : options_(options) {
  const auto projection = [&] { return std::make_shared<Projection>(options, projected); };
  const bool layerwise = options.sharing == LinformerSharing::kLayerwise;
  std::shared_ptr<Projection> e = layerwise ? std::move(shared) : projection();
  std::shared_ptr<Projection> f = options.sharing == LinformerSharing::kHeadwise ? projection() : e;
  std::map<std::string, std::shared_ptr<torch::nn::Module>> lists;
  for (const char* name : {"heads", "to_q", "to_k", "to_v"}) {
    lists[name] = register_module(name, std::make_shared<torch::nn::Module>());
  }
  for (int64_t i = 0; i < options.heads; ++i) {
    if (options.sharing == LinformerSharing::kNone) {
      e = projection();
      f = projection();
    }
    const std::string index = std::to_string(i);
    const auto linear = [&](const char* list) {
      return lists[list]->register_module(index,
                                          make_linear(options.width, options.head_size, false));
    };
    const auto head = lists["heads"]->register_module(index, std::make_shared<torch::nn::Module>());
    register_projection(*head, "E", options, e);
    register_projection(*head, "F", options, f);
    heads_.push_back({linear("to_q"), linear("to_k"), linear("to_v"), e, f});
  }
  const int64_t joined = options.heads * options.head_size;
  if (options.output_rank == 0) {
    output_ = {register_module("w_o", make_linear(joined, options.width))};
    return;
  }
  output_ = {register_module("w_o_1", make_linear(joined, options.output_rank)),
             register_module("w_o_2", make_linear(options.output_rank, options.width))};
}

at::Tensor MultiHeadAttention::attend(Head& head, const ForeignInputs& inputs) {
  at::Tensor k = masked(head.to_k(inputs.x), inputs.mask);
  at::Tensor v = masked(head.to_v(inputs.x), inputs.mask);
  const at::Tensor q = masked(head.to_q(inputs.x), inputs.query_mask);
  if (!options_.full_attention) {
    k = head.e->apply(k);
    v = head.f->apply(v);
  }
  at::Tensor scores =
      at::matmul(q, k.transpose(1, 2)) / std::sqrt(static_cast<double>(options_.head_size));
  if (options_.causal) {
    const at::Tensor seen = at::ones({scores.size(1), scores.size(2)}, scores.options()).tril();
    scores = scores.masked_fill(seen == 0, -std::numeric_limits<double>::infinity());
  }
  return at::matmul(at::softmax(scores, -1), v);
}

at::Tensor MultiHeadAttention::forward(const ForeignInputs& inputs) {
  constexpr const char* kWhere = "lowrank::models::linformer_pytorch::MultiHeadAttention";
  check_vectors(kWhere, inputs.x, options_.width);
  TORCH_CHECK_VALUE(
      inputs.x.size(1) == options_.max_length, kWhere, ": a sequence has ", inputs.x.size(1),
      " rows; this model takes exactly max_length = ", options_.max_length, ". Pad it or cut it.");
  std::vector<at::Tensor> outputs;
  for (Head& head : heads_) outputs.push_back(attend(head, inputs));
  at::Tensor out = at::cat(outputs, -1);
  for (torch::nn::Linear& linear : output_) out = linear(out);
  return out;
}

Linformer::Linformer(const Options& options) {
  const auto seq = register_module("seq", std::make_shared<torch::nn::Module>());
  const auto add = [&](std::shared_ptr<ForeignModule> fn) {
    const auto part =
        seq->register_module(std::to_string(parts_.size()), std::make_shared<torch::nn::Module>());
    part->register_module("fn", fn);
    parts_.push_back(
        {std::move(fn), part->register_module("norm", make_layer_norm(options.width))});
  };
  const auto shared = std::make_shared<Projection>(options, options.projected);
  for (int64_t i = 0; i < options.layers; ++i) {
    const int64_t projected = std::max<int64_t>(1, options.projected - i * options.projected_step);
    add(std::make_shared<MultiHeadAttention>(options, projected, shared));
    if (options.feed_forward > 0) add(std::make_shared<FeedForward>(options));
  }
}

at::Tensor Linformer::forward(const ForeignInputs& inputs) {
  ForeignInputs state = inputs;
  for (Part& part : parts_) state.x = part.norm(state.x + part.fn->forward(state));
  return state.x;
}

LanguageModel::LanguageModel(const Options& options) : options_(options) {
  const int64_t embedding = options.embedding == 0 ? options.width : options.embedding;
  to_token_emb_ =
      register_module("to_token_emb", torch::nn::Embedding(options.vocabulary, embedding));
  const at::Tensor even = at::arange(0, embedding, 2, at::kFloat) / static_cast<double>(embedding);
  inv_freq_ = register_module("pos_emb", std::make_shared<torch::nn::Module>())
                  ->register_buffer("inv_freq", at::pow(kPositionBase, even).reciprocal());
  linformer_ = std::make_shared<Linformer>(options);
  if (embedding == options.width) {
    register_module("linformer", linformer_);
  } else {
    const auto around = register_module("linformer", std::make_shared<torch::nn::Module>());
    around->register_module("fn", linformer_);
    project_in_ = around->register_module("project_in", make_linear(embedding, options.width));
    project_out_ = around->register_module("project_out", make_linear(options.width, embedding));
  }
  to_logits_ = register_module("to_logits", make_linear(embedding, options.vocabulary));
}

at::Tensor LanguageModel::forward(const ForeignInputs& inputs) {
  TORCH_CHECK_VALUE(inputs.x.dim() == 2,
                    "lowrank::models::linformer_pytorch::LanguageModel: tokens must be [batch, "
                    "length]; got sizes ",
                    inputs.x.sizes(), ". Pass token ids.");
  const at::Tensor place = at::arange(inputs.x.size(1), inv_freq_.options()).unsqueeze(1);
  const at::Tensor angle = place * inv_freq_;
  ForeignInputs state = inputs;
  state.x = to_token_emb_(inputs.x) + at::cat({angle.sin(), angle.cos()}, -1);
  if (project_in_) state.x = project_in_(state.x);
  state.x = linformer_->forward(state);
  if (project_out_) state.x = project_out_(state.x);
  return to_logits_(state.x);
}

std::shared_ptr<ForeignModule> make_module(const Options& options) {
  if (options.vocabulary > 0) return std::make_shared<LanguageModel>(options);
  if (options.layers > 0) return std::make_shared<Linformer>(options);
  return std::make_shared<MultiHeadAttention>(
      options, options.projected, std::make_shared<Projection>(options, options.projected));
}

}  // namespace lowrank::models::linformer_pytorch
