// SPDX-License-Identifier: Apache-2.0
#include <ATen/ATen.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "lowrank/models/derive.h"
#include "lowrank/models/fairseq.h"
#include "lowrank/models/mlpen.h"
#include "lowrank/models/quirks.h"
#include "lowrank/ops/compat.h"
#include "tests/support/oracle.h"

// Encoders that were brought over, beside their own programs' arithmetic, written out here for a padded
// batch in float64.
namespace lowrank::models {
namespace {

using at::Tensor;
using Dict = std::map<std::string, Tensor>;

constexpr int64_t kWidth = 12, kHeads = 3, kHidden = 20, kVocabulary = 30, kLength = 16,
                  kPadding = 1;

// Makes tensors of a state_dict as they are first asked for.
class Weights {
 public:
  const Tensor& operator()(const std::string& name, std::vector<int64_t> sizes) {
    const auto found = dict_.find(name);
    if (found != dict_.end()) return found->second;
    return dict_[name] = at::randn(sizes, at::kDouble) * 0.4;
  }
  Tensor linear(const std::string& name, const Tensor& x, int64_t out) {
    const int64_t in = x.size(-1);
    return at::linear(x, (*this)(name + ".weight", {out, in}), (*this)(name + ".bias", {out}));
  }
  Tensor norm(const std::string& name, const Tensor& x) {
    const int64_t c = x.size(-1);
    return at::layer_norm(x, {c}, (*this)(name + ".weight", {c}), (*this)(name + ".bias", {c}));
  }
  void set(const std::string& name, const Tensor& tensor) { dict_[name] = tensor; }
  io::NamedTensors tensors() const { return {dict_.begin(), dict_.end()}; }

 private:
  Dict dict_;
};

Tensor heads(const Tensor& x) { return x.unflatten(2, {kHeads, kWidth / kHeads}).transpose(1, 2); }

Tensor softmax_attention(const Tensor& q, const Tensor& k, const Tensor& v) {
  const Tensor scores = at::matmul(q, k.transpose(-2, -1)) / std::sqrt(kWidth / kHeads * 1.0);
  return at::matmul(at::softmax(scores, -1), v);
}

Tensor joined(const Tensor& x) { return x.transpose(1, 2).flatten(2); }

// Two sequences, of 16 and of 9 tokens, padded.
struct Batch {
  Tensor ids = at::randint(4, kVocabulary, {2, kLength}, at::kLong);
  Tensor mask = at::arange(kLength).unsqueeze(0) < at::tensor({16, 9}).unsqueeze(1);

  Batch() { ids = ids.masked_fill(mask.logical_not(), kPadding); }
  Inputs ragged() const {
    return {.tokens = ids.masked_select(mask),
            .offsets = at::tensor({0, 16, 25}, at::kLong),
            .segments = {}};
  }
  // The rows of tokens of x [2, n, c].
  Tensor rows(const Tensor& x) const { return x.flatten(0, 1).index({mask.flatten()}); }
};

// ---- mlpen/Nystromformer

enum class Kind { kSoftmax, kNystrom, kLinformer };

Tensor mlpen_attention(Weights& w, const std::string& layer, Kind kind, const Tensor& x,
                       const Tensor& mask) {
  const auto project = [&](const char* part) {
    return heads(w.linear(layer + "mha." + part, x, kWidth));
  };
  const Tensor q = project("W_q"), k = project("W_k"), v = project("W_v");
  Tensor out;
  if (kind == Kind::kNystrom) {
    const Tensor filter = w(layer + "mha.attn.conv.weight", {kHeads, 1, 5, 1}).flatten(1);
    out =
        compat::mlpen_attention(q, k, v, mask, {.landmarks = 4, .segment_length = kLength}, filter);
  } else if (kind == Kind::kLinformer) {
    const Tensor e = w("E", {kHeads, 6, kLength});
    w.set(layer + "mha.attn.E", e);
    out = compat::mlpen_linformer_attention(q, k, v, mask, e);
  } else {
    const Tensor scores = at::matmul(q, k.transpose(-2, -1)) / std::sqrt(kWidth / kHeads * 1.0);
    const Tensor bias = -1e6 * (1 - mask.to(at::kDouble).unsqueeze(1).unsqueeze(1));
    out = at::matmul(at::softmax(scores + bias, -1), v);
  }
  return w.linear(layer + "mha.ff", joined(out), kWidth);
}

// code/model.py and its language model's head.
Tensor mlpen_scores(Weights& w, Kind kind, const Batch& batch) {
  const Tensor& table = w("model.embeddings.word_embeddings.weight", {kVocabulary, kWidth});
  const Tensor places = w("model.embeddings.position_embeddings.weight", {kLength + 2, kWidth});
  const Tensor types = w("model.embeddings.token_type_embeddings.weight", {1, kWidth});
  Tensor x = w.norm("model.embeddings.norm",
                    at::embedding(table, batch.ids) + places.slice(0, 2) + types.select(0, 0));
  for (const char* i : {"0", "1"}) {
    const std::string layer = std::string("model.transformer_") + i + ".";
    x = w.norm(layer + "norm1", x + mlpen_attention(w, layer, kind, x, batch.mask));
    const Tensor hidden = at::gelu(w.linear(layer + "ff1", x, kHidden), "tanh");
    x = w.norm(layer + "norm2", x + w.linear(layer + "ff2", hidden, kWidth));
  }
  const Tensor hidden = w.norm("mlm.norm", at::gelu(w.linear("mlm.dense", x, kWidth), "tanh"));
  return at::linear(hidden, table, w("mlm.mlm_class.bias", {kVocabulary}));
}

class ImportedMlpen : public ::testing::TestWithParam<Kind> {};

TEST_P(ImportedMlpen, TheLanguageModelScoresAsThere) {
  at::manual_seed(3);
  const Batch batch;
  Weights w;
  const Tensor expected = batch.rows(mlpen_scores(w, GetParam(), batch));
  io::NamedTensors tensors = w.tensors();
  std::erase_if(tensors, [](const auto& entry) { return entry.first == "E"; });
  const ForeignHints hints{.heads = kHeads,
                           .landmarks = 4,
                           .segment_length = kLength,
                           .attention = GetParam() == Kind::kNystrom ? "nystrom" : "softmax"};
  const auto model = to_model(import_mlpen(tensors, hints, false, "a"), "a");
  EXPECT_LE(testing::max_error(model->logits(batch.ragged()), expected), 1e-9);
}

TEST(ImportedModel, SaysItsQuirks) {
  at::manual_seed(3);
  Weights w;
  mlpen_scores(w, Kind::kNystrom, Batch());
  const ForeignHints hints{.landmarks = 4, .segment_length = kLength};
  const auto model = to_model(import_mlpen(w.tensors(), hints, false, "a"), "a");
  EXPECT_EQ(quirks(model->config()).size(), quirks(Profile::kMlpen, {}).size());
  const auto fixed = to_model(import_mlpen(w.tensors(), hints, true, "a"), "a");
  EXPECT_TRUE(quirks(fixed->config()).empty());
}

// What a checkpoint holds in another shape is said once there is a model to compare it with.
TEST(ImportedModel, MisshapenTensorsAreListed) {
  at::manual_seed(3);
  Weights w;
  mlpen_scores(w, Kind::kNystrom, Batch());
  w.set("mlm.norm.bias", at::zeros({5}, at::kDouble));
  const ForeignHints hints{.landmarks = 4, .segment_length = kLength};
  EXPECT_THAT([&] { to_model(import_mlpen(w.tensors(), hints, false, "a"), "a"); },
              ::testing::ThrowsMessage<Error>(
                  ::testing::HasSubstr("\"head_norm.bias\" is Double [5] instead of Double [12]")));
}

INSTANTIATE_TEST_SUITE_P(All, ImportedMlpen,
                         ::testing::Values(Kind::kSoftmax, Kind::kNystrom, Kind::kLinformer));

// LRA/code/model.py.
TEST(ImportedBenchmark, TheEncoderAgrees) {
  at::manual_seed(4);
  const Batch batch;
  Weights w;
  const Tensor& table = w("model.embeddings.word_embeddings.weight", {kVocabulary, kWidth});
  Tensor x = at::embedding(table, batch.ids) +
             w("model.embeddings.position_embeddings.weight", {kLength, kWidth});
  for (const char* i : {"0", "1"}) {
    const std::string layer = std::string("model.transformer_") + i + ".";
    x = x + mlpen_attention(w, layer, Kind::kNystrom, w.norm(layer + "norm1", x), batch.mask);
    const Tensor hidden =
        at::gelu(w.linear(layer + "mlpblock.0", w.norm(layer + "norm2", x), kHidden));
    x = x + w.linear(layer + "mlpblock.3", hidden, kWidth);
  }
  const Tensor expected = batch.rows(w.norm("model.norm", x));
  const ForeignHints hints{.landmarks = 4, .segment_length = kLength};
  NativeCheckpoint checkpoint = import_mlpen(w.tensors(), hints, false, "checkpoint");
  checkpoint.model["compat"]["padding_token"] = kPadding;  // this batch's
  EXPECT_LE(testing::max_error(to_model(checkpoint, "a")->encode(batch.ragged()).x, expected),
            1e-9);
}

// ---- fairseq's linformer_roberta

Tensor fairseq_scores(Weights& w, const std::string& sharing, const Batch& batch) {
  const std::string p = "encoder.sentence_encoder.";
  const Tensor& table = w(p + "embed_tokens.weight", {kVocabulary, kWidth});
  const Tensor places = w(p + "embed_positions.weight", {kLength + 2, kWidth});
  Tensor x = w.norm(p + "layernorm_embedding",
                    at::embedding(table, batch.ids) + places.slice(0, 2, 2 + batch.ids.size(1)));
  x = x * batch.mask.to(at::kDouble).unsqueeze(2);
  for (const char* i : {"0", "1"}) {
    const std::string layer = p + "layers." + i + ".", attention = layer + "self_attn.";
    const std::string name_of_e = attention + "compress_k.weight";
    if (sharing == "layerwise") w.set(name_of_e, w("E", {4, kLength}));
    const auto first_columns = [&](const std::string& name) {
      return w(name, {4, kLength}).slice(1, 0, x.size(1));
    };
    const Tensor e = first_columns(name_of_e);
    const Tensor f = sharing == "headwise" ? first_columns(attention + "compress_v.weight") : e;
    const Tensor q = heads(w.linear(attention + "q_proj", x, kWidth));
    const Tensor k = heads(w.linear(attention + "k_proj", at::matmul(e, x), kWidth));
    const Tensor v = heads(w.linear(attention + "v_proj", at::matmul(f, x), kWidth));
    const Tensor out = w.linear(attention + "out_proj", joined(softmax_attention(q, k, v)), kWidth);
    x = w.norm(layer + "self_attn_layer_norm", x + out);
    const Tensor hidden = at::gelu(w.linear(layer + "fc1", x, kHidden));
    x = w.norm(layer + "final_layer_norm", x + w.linear(layer + "fc2", hidden, kWidth));
  }
  const std::string head = "encoder.lm_head.";
  const Tensor hidden = w.norm(head + "layer_norm", at::gelu(w.linear(head + "dense", x, kWidth)));
  return at::linear(hidden, table, w(head + "bias", {kVocabulary}));
}

class ImportedFairseq : public ::testing::TestWithParam<const char*> {};

TEST_P(ImportedFairseq, TheLanguageModelScoresAsThere) {
  at::manual_seed(5);
  const Batch batch;
  Weights w;
  const Tensor expected = batch.rows(fairseq_scores(w, GetParam(), batch));
  io::NamedTensors tensors = w.tensors();
  std::erase_if(tensors, [](const auto& entry) { return entry.first == "E"; });
  const auto model = to_model(import_fairseq(tensors, {.heads = kHeads}, false, "a"), "a");
  EXPECT_LE(testing::max_error(model->logits(batch.ragged()), expected), 1e-9);
}

// What is left away is the padding; E still comes before the biases.
TEST_P(ImportedFairseq, FixedItScoresEachSequenceAsThereAlone) {
  at::manual_seed(6);
  const Batch batch;
  Weights w;
  std::vector<Tensor> expected;
  for (const int64_t n : {16, 9}) {
    const int64_t i = n == 16 ? 0 : 1;
    Batch alone;
    alone.ids = batch.ids.slice(0, i, i + 1).slice(1, 0, n);
    alone.mask = at::ones({1, n}, at::kBool);
    expected.push_back(fairseq_scores(w, GetParam(), alone)[0]);
  }
  const Tensor padded = batch.rows(fairseq_scores(w, GetParam(), batch));
  EXPECT_GT(testing::max_error(at::cat(expected), padded), 1e-3);
  io::NamedTensors tensors = w.tensors();
  std::erase_if(tensors, [](const auto& entry) { return entry.first == "E"; });
  const auto fixed = to_model(import_fairseq(tensors, {.heads = kHeads}, true, "a"), "a");
  const auto as_there = to_model(import_fairseq(tensors, {.heads = kHeads}, false, "a"), "a");
  for (const auto& model : {fixed, without_profile(*as_there)}) {
    EXPECT_LE(testing::max_error(model->logits(batch.ragged()), at::cat(expected)), 1e-9);
    EXPECT_FALSE(is_padded(model->config()));
    EXPECT_EQ(quirks(model->config()).size(), quirks(as_there->config()).size() - 1);
  }
}

INSTANTIATE_TEST_SUITE_P(All, ImportedFairseq, ::testing::Values("kv", "headwise", "layerwise"));

}  // namespace
}  // namespace lowrank::models
