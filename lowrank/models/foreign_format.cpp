// SPDX-License-Identifier: Apache-2.0
#include "lowrank/models/foreign_format.h"

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <map>

#include "lowrank/models/native_checkpoint.h"

namespace lowrank::models {
namespace {

// The tensors of a checkpoint, asked for names and sizes.
class Checkpoint {
 public:
  Checkpoint(const io::NamedTensors& tensors, std::string what, std::string where)
      : tensors_(tensors.begin(), tensors.end()),
        what_(std::move(what)),
        where_(std::move(where)) {}

  bool has(const std::string& name) const { return tensors_.count(name) > 0; }

  bool has_any(const std::string& prefix) const {
    const auto found = tensors_.lower_bound(prefix);
    return found != tensors_.end() && found->first.starts_with(prefix);
  }

  // The size of a tensor that the format cannot be without.
  int64_t size(const std::string& name, int64_t dimension) const {
    const auto found = tensors_.find(name);
    if (found == tensors_.end()) fail(fmt::format("\"{}\" is missing", name));
    if (found->second.dim() <= dimension) {
      fail(fmt::format("\"{}\" has {} dimensions; it must have {} or more", name,
                       found->second.dim(), dimension + 1));
    }
    return found->second.size(dimension);
  }

  int64_t dimensions(const std::string& name) const { return tensors_.at(name).dim(); }

  // Whether `other` holds the bits of `name`, or is left out because it would.
  bool same(const std::string& name, const std::string& other) const {
    const auto found = tensors_.find(other);
    return found == tensors_.end() || is_same(tensors_.at(name), found->second);
  }

  // How many of prefix0suffix, prefix1suffix ... there are.
  int64_t count(const std::string& prefix, const std::string& suffix) const {
    int64_t i = 0;
    while (has(fmt::format("{}{}{}", prefix, i, suffix))) ++i;
    return i;
  }

  int64_t ask(const std::optional<int64_t>& hint, const char* name) const {
    return required(hint, name, what_, where_);
  }

  // What a shape tells; a hint may only agree.
  int64_t agree(int64_t told, const std::optional<int64_t>& hint, const char* name) const {
    if (hint && *hint != told) {
      fail(fmt::format("{} = {}; the tensors of {} have {}", name, *hint, what_, told));
    }
    return told;
  }

  int64_t divide(int64_t size, int64_t parts, const char* name) const {
    if (parts < 1 || size % parts != 0) {
      fail(fmt::format("{} = {} does not divide {}, the width of its queries", name, parts, size));
    }
    return size / parts;
  }

  const std::string& where() const { return where_; }

  [[noreturn]] void fail(const std::string& fact) const {
    throw Error(
        fmt::format("{}: {}. Use a whole checkpoint of {} and the numbers that it was made "
                    "with.",
                    where_, fact, what_));
  }

 private:
  std::map<std::string, at::Tensor> tensors_;
  std::string what_, where_;
};

lucidrains::Options infer_lucidrains(const Checkpoint& c, const ForeignHints& hints) {
  lucidrains::Options options;
  options.layers = c.count("layers.", ".0.fn.to_qkv.weight");
  const std::string attention = options.layers > 0 ? "layers.0.0.fn." : "";
  options.width = c.size(attention + "to_qkv.weight", 1);
  const std::string filter = attention + "res_conv.weight";
  options.conv = c.has(filter) ? c.size(filter, 2) : 0;
  options.heads = c.has(filter) ? c.agree(c.size(filter, 0), hints.heads, "heads")
                                : c.ask(hints.heads, "heads");
  options.head_size = c.divide(c.size(attention + "to_qkv.weight", 0) / 3, options.heads, "heads");
  options.landmarks = c.ask(hints.landmarks, "landmarks");
  options.inverse_steps = hints.inverse_steps.value_or(options.inverse_steps);
  return options;
}

linformer::Options infer_linformer(const Checkpoint& c, const ForeignHints& hints) {
  linformer::Options options;
  const bool language = c.has("token_emb.weight");
  const std::string net = language ? "linformer.net." : "net.";
  options.reversible = c.has_any(net + "blocks.");
  options.layers = options.reversible ? c.count(net + "blocks.", ".f.net.fn.to_q.weight")
                                      : c.count(net + "layers.", ".0.fn.to_q.weight");
  std::string attention;
  if (options.layers > 0) {
    attention = net + (options.reversible ? "blocks.0.f.net.fn." : "layers.0.0.fn.");
  }
  if (language) options.vocabulary = c.size("token_emb.weight", 0);
  const int64_t of_queries = c.size(attention + "to_q.weight", 0);
  const int64_t of_keys = c.size(attention + "to_k.weight", 0);
  options.width = c.size(attention + "to_q.weight", 1);
  options.max_length = c.size(attention + "proj_k", 0);
  options.projected = c.size(attention + "proj_k", 1);
  options.share_kv = !c.has(attention + "to_v.weight");
  options.one_kv_head = of_keys < of_queries;
  options.heads =
      options.one_kv_head
          ? c.agree(c.divide(of_queries, of_keys, "the width of its keys"), hints.heads, "heads")
          : c.ask(hints.heads, "heads");
  options.head_size = c.divide(of_queries, options.heads, "heads");
  return options;
}

LinformerSharing infer_sharing(const Checkpoint& c, const std::string& first,
                               const std::string& second, const std::string& suffix) {
  const std::string e = first + "heads.0.E" + suffix;
  if (c.same(e, first + "heads.0.F" + suffix)) {
    const bool layerwise = !second.empty() && c.same(e, second + "heads.0.E" + suffix);
    return layerwise ? LinformerSharing::kLayerwise : LinformerSharing::kKeyValue;
  }
  const bool shared_by_heads = c.same(e, first + "heads.1.E" + suffix);
  return shared_by_heads ? LinformerSharing::kHeadwise : LinformerSharing::kNone;
}

// What E of the first attention, and of the second, tell.
void infer_projections(const Checkpoint& c, const ForeignHints& hints, const std::string& first,
                       const std::string& second, linformer_pytorch::Options& options) {
  using linformer_pytorch::Method;
  const bool bare = c.has(first + "heads.0.E");
  const std::string suffix = bare ? "" : ".weight", e = "heads.0.E" + suffix;
  if (!c.has(first + e)) {
    throw Error(fmt::format(
        "{}: \"{}heads.0.E\" is missing; method no_params keeps E and F out of the state_dict, and "
        "without them the model is lost. Save E and F of every head with it.",
        c.where(), first));
  }
  options.sharing = infer_sharing(c, first, second, suffix);
  if (c.dimensions(first + e) == 3) {
    options.method = Method::kConvolution;
    options.max_length = c.ask(hints.max_length, "max_length");
    options.projected = options.max_length / std::max<int64_t>(1, c.size(first + e, 2));
    return;
  }
  options.method = bare ? Method::kNoParameters : Method::kLearnable;
  const int64_t projected = bare ? 1 : 0;  // its dimension
  options.max_length = c.size(first + e, 1 - projected);
  options.projected = c.size(first + e, projected);
  if (c.has(second + e) && options.sharing != LinformerSharing::kLayerwise) {
    options.projected_step = options.projected - c.size(second + e, projected);
  }
}

linformer_pytorch::Options infer_linformer_pytorch(const Checkpoint& c, const ForeignHints& hints) {
  linformer_pytorch::Options options;
  std::string seq = "seq.";
  if (c.has("to_token_emb.weight")) {
    options.vocabulary = c.size("to_token_emb.weight", 0);
    options.embedding = c.size("to_token_emb.weight", 1);
    seq = c.has("linformer.project_in.weight") ? "linformer.fn.seq." : "linformer.seq.";
  }
  const bool feeds = c.has(seq + "1.fn.w_1.weight");
  const int64_t step = feeds ? 2 : 1;
  const auto attention_of = [&](int64_t layer) {
    return fmt::format("{}{}.fn.", seq, layer * step);
  };
  while (c.has(attention_of(options.layers) + "to_q.0.weight")) ++options.layers;
  const std::string first = options.layers > 0 ? attention_of(0) : "";
  const std::string second = options.layers > 1 ? attention_of(1) : "";

  options.heads = c.agree(c.count(first + "to_q.", ".weight"), hints.heads, "heads");
  options.head_size = c.size(first + "to_q.0.weight", 0);
  options.width = c.size(first + "to_q.0.weight", 1);
  if (options.embedding == options.width) options.embedding = 0;
  options.feed_forward = feeds ? c.size(seq + "1.fn.w_1.weight", 0) : 0;
  options.output_rank = c.has(first + "w_o_1.weight") ? c.size(first + "w_o_1.weight", 0) : 0;

  infer_projections(c, hints, first, second, options);
  options.activation = hints.activation;
  options.causal = hints.causal;
  options.full_attention = hints.full_attention;
  return options;
}

fairseq::Options infer_fairseq(const Checkpoint& c, const ForeignHints& hints) {
  fairseq::Options options;
  options.width = c.size("q_proj.weight", 1);
  options.heads = c.ask(hints.heads, "heads");
  options.projected = c.size("compress_k.weight", 0);
  options.max_length = c.size("compress_k.weight", 1);
  options.shared_layer = c.has("compress_k.bias");
  // Of a shared layer the one tensor may stand for both.
  options.shared_kv = !c.has("compress_v.weight") && !options.shared_layer;
  return options;
}

transmil::Options infer_transmil(const Checkpoint& c, const ForeignHints& hints) {
  c.agree(8, hints.heads, "heads");
  return {.features = c.size("_fc1.0.weight", 1),
          .width = c.size("_fc1.0.weight", 0),
          .classes = c.size("_fc2.weight", 0)};
}

// The first name, by the packages' own, that tells a format. In this order: what comes later is part
// of what comes before.
struct Sign {
  ForeignFormat format;
  const char* ending;
  const char* other_ending;
};
constexpr Sign kSigns[] = {
    {ForeignFormat::kTransmil, "pos_layer.proj.weight", "_fc2.weight"},
    {ForeignFormat::kMlpen, "embeddings.word_embeddings.weight", ".mha.W_q.weight"},
    {ForeignFormat::kFairseq, "sentence_encoder.embed_tokens.weight",
     "self_attn.compress_k.weight"},
    {ForeignFormat::kFairseqAttention, "compress_k.weight", "k_proj.weight"},
    {ForeignFormat::kLucidrains, "to_qkv.weight", "to_out.0.weight"},
    {ForeignFormat::kLinformerPytorch, "to_q.0.weight", "to_k.0.weight"},
    {ForeignFormat::kLinformer, "proj_k", "to_q.weight"},
};

}  // namespace

std::string in_words(ForeignFormat format) {
  switch (format) {
    case ForeignFormat::kLucidrains:
      return "nystrom-attention";
    case ForeignFormat::kLinformer:
      return "linformer";
    case ForeignFormat::kLinformerPytorch:
      return "linformer-pytorch";
    case ForeignFormat::kFairseqAttention:
      return "fairseq's MultiheadLinearAttention";
    case ForeignFormat::kTransmil:
      return "TransMIL";
    case ForeignFormat::kMlpen:
      return "mlpen/Nystromformer";
    case ForeignFormat::kFairseq:
      return "fairseq's linformer_roberta";
  }
  return "";
}

io::NamedTensors without_wrappers(io::NamedTensors tensors) {
  for (bool again = !tensors.empty(); again;) {
    again = false;
    for (const std::string prefix : {"module.", "model."}) {
      const bool wrapped = std::all_of(tensors.begin(), tensors.end(), [&](const auto& entry) {
        return entry.first.starts_with(prefix) && entry.first.size() > prefix.size();
      });
      if (!wrapped) continue;
      for (auto& [name, tensor] : tensors) name.erase(0, prefix.size());
      again = true;
    }
  }
  return tensors;
}

std::optional<ForeignFormat> recognize(const io::NamedTensors& tensors) {
  const auto has = [&](const std::string& ending) {
    return std::any_of(tensors.begin(), tensors.end(), [&](const auto& entry) {
      const std::string& name = entry.first;
      return name == ending || name.ends_with(ending.front() == '.' ? ending : "." + ending);
    });
  };
  for (const Sign& sign : kSigns) {
    if (has(sign.ending) && has(sign.other_ending)) return sign.format;
  }
  return std::nullopt;
}

ForeignOptions infer_options(const io::NamedTensors& tensors, ForeignFormat format,
                             const ForeignHints& hints, const std::string& where) {
  const Checkpoint checkpoint(tensors, in_words(format), where);
  switch (format) {
    case ForeignFormat::kLucidrains:
      return infer_lucidrains(checkpoint, hints);
    case ForeignFormat::kLinformer:
      return infer_linformer(checkpoint, hints);
    case ForeignFormat::kLinformerPytorch:
      return infer_linformer_pytorch(checkpoint, hints);
    case ForeignFormat::kFairseqAttention:
      return infer_fairseq(checkpoint, hints);
    case ForeignFormat::kTransmil:
      return infer_transmil(checkpoint, hints);
    case ForeignFormat::kMlpen:
    case ForeignFormat::kFairseq:
      break;
  }
  checkpoint.fail("it is an encoder and no module of its own");
}

ForeignModel import_foreign(const io::NamedTensors& tensors, ForeignFormat format,
                            const ForeignHints& hints, const std::string& where) {
  const ForeignOptions options = infer_options(tensors, format, hints, where);
  check(options, where);
  ForeignModel model = make_foreign(options);
  load_tensors(*model.module, tensors, where);
  model.module->eval();
  return model;
}

}  // namespace lowrank::models
