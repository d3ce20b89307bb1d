// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/foreign_linformer.h"

#include <ATen/ATen.h>

#include <cmath>

namespace lowrank::models::linformer {
namespace {

class FeedForward : public ForeignModule {
 public:
  explicit FeedForward(int64_t width)
      : w1_(register_module("w1", make_linear(width, 4 * width))),
        w2_(register_module("w2", make_linear(4 * width, width))) {}
  at::Tensor forward(const ForeignInputs& inputs) override { return w2_(at::gelu(w1_(inputs.x))); }

 private:
  torch::nn::Linear w1_, w2_;
};

using Parts = std::vector<std::shared_ptr<PreNorm>>;

// blocks.<i>.f.net and blocks.<i>.g.net
void register_blocks(torch::nn::Module& net, const Parts& parts) {
  const auto blocks = net.register_module("blocks", std::make_shared<torch::nn::Module>());
  for (size_t i = 0; i < parts.size(); i += 2) {
    const auto block =
        blocks->register_module(std::to_string(i / 2), std::make_shared<torch::nn::Module>());
    for (const auto& [name, part] : {std::pair("f", parts[i]), std::pair("g", parts[i + 1])}) {
      block->register_module(name, std::make_shared<torch::nn::Module>())
          ->register_module("net", part);
    }
  }
}

// layers.<i>.0 and layers.<i>.1
void register_layers(torch::nn::Module& net, const Parts& parts) {
  const auto layers = net.register_module("layers", std::make_shared<torch::nn::Module>());
  for (size_t i = 0; i < parts.size(); i += 2) {
    const auto layer =
        layers->register_module(std::to_string(i / 2), std::make_shared<torch::nn::Module>());
    layer->register_module("0", parts[i]);
    layer->register_module("1", parts[i + 1]);
  }
}

}  // namespace

SelfAttention::SelfAttention(const Options& options)
    : options_(options),
      to_q_(register_module("to_q",
                            make_linear(options.width, options.heads * options.head_size, false))),
      to_k_(nullptr),
      to_out_(register_module("to_out",
                              make_linear(options.heads * options.head_size, options.width))) {
  const int64_t of_keys = (options.one_kv_head ? 1 : options.heads) * options.head_size;
  const auto projection = [&] { return at::zeros({options.max_length, options.projected}); };
  to_k_ = register_module("to_k", make_linear(options.width, of_keys, false));
  proj_k_ = register_parameter("proj_k", projection());
  if (options.share_kv) return;
  to_v_ = register_module("to_v", make_linear(options.width, of_keys, false));
  proj_v_ = register_parameter("proj_v", projection());
}

at::Tensor SelfAttention::forward(const ForeignInputs& inputs) {
  constexpr const char* kWhere = "lowrank::models::linformer::SelfAttention";
  const at::Tensor& context = inputs.context.defined() ? inputs.context : inputs.x;
  check_vectors(kWhere, inputs.x, options_.width);
  check_vectors(kWhere, context, options_.width);
  const int64_t n = context.size(1);
  TORCH_CHECK_VALUE(n <= options_.max_length, kWhere, ": a sequence has ", n,
                    " rows; this model takes max_length = ", options_.max_length, ". Shorten it.");
  const auto compressed = [&](torch::nn::Linear& linear, const at::Tensor& projection) {
    const at::Tensor rows = at::matmul(projection.slice(0, 0, n).t(), linear(context));
    return split_heads(rows, options_.one_kv_head ? 1 : options_.heads);
  };
  const at::Tensor k = compressed(to_k_, proj_k_);
  const at::Tensor v = options_.share_kv ? k : compressed(to_v_, proj_v_);
  const at::Tensor q = split_heads(to_q_(inputs.x), options_.heads);
  const double scale = 1 / std::sqrt(static_cast<double>(options_.head_size));
  const at::Tensor scores = at::matmul(q, k.transpose(-2, -1)) * scale;
  return to_out_(join_heads(at::matmul(at::softmax(scores, -1), v)));
}

Linformer::Linformer(const Options& options) : reversible_(options.reversible) {
  for (int64_t i = 0; i < options.layers; ++i) {
    parts_.push_back(
        std::make_shared<PreNorm>(options.width, std::make_shared<SelfAttention>(options)));
    parts_.push_back(
        std::make_shared<PreNorm>(options.width, std::make_shared<FeedForward>(options.width)));
  }
  const auto net = register_module("net", std::make_shared<torch::nn::Module>());
  reversible_ ? register_blocks(*net, parts_) : register_layers(*net, parts_);
}

at::Tensor Linformer::forward(const ForeignInputs& inputs) {
  ForeignInputs first, second;  // x alone: upstream passes nothing else on
  first.x = second.x = inputs.x;
  if (!reversible_) {
    for (const auto& part : parts_) first.x = first.x + part->forward(first);
    return first.x;
  }
  for (size_t i = 0; i < parts_.size(); i += 2) {
    first.x = first.x + parts_[i]->forward(second);
    second.x = second.x + parts_[i + 1]->forward(first);
  }
  return first.x + second.x;
}

LanguageModel::LanguageModel(const Options& options)
    : options_(options),
      token_emb_(
          register_module("token_emb", torch::nn::Embedding(options.vocabulary, options.width))),
      pos_emb_(register_module("pos_emb", torch::nn::Embedding(options.max_length, options.width))),
      linformer_(register_module("linformer", std::make_shared<Linformer>(options))),
      to_logits_(register_module("to_logits", make_linear(options.width, options.vocabulary))) {}

at::Tensor LanguageModel::forward(const ForeignInputs& inputs) {
  constexpr const char* kWhere = "lowrank::models::linformer::LanguageModel";
  TORCH_CHECK_VALUE(inputs.x.dim() == 2, kWhere, ": tokens must be [batch, length]; got sizes ",
                    inputs.x.sizes(), ". Pass token ids.");
  TORCH_CHECK_VALUE(
      inputs.x.size(1) <= options_.max_length, kWhere, ": a sequence has ", inputs.x.size(1),
      " tokens; this model takes max_length = ", options_.max_length, ". Shorten it.");
  ForeignInputs vectors;
  vectors.x = token_emb_(inputs.x) + pos_emb_->weight.slice(0, 0, inputs.x.size(1));
  return to_logits_(linformer_->forward(vectors));
}

std::shared_ptr<ForeignModule> make_module(const Options& options) {
  if (options.vocabulary > 0) return std::make_shared<LanguageModel>(options);
  if (options.layers == 0) return std::make_shared<SelfAttention>(options);
  return std::make_shared<Linformer>(options);
}

}  // namespace lowrank::models::linformer
