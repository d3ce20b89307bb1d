// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <string>

#include "lowrank/io/safetensors.h"
#include "lowrank/models/foreign.h"
#include "lowrank/models/foreign_hints.h"

namespace lowrank::models {

// Whose checkpoint a set of named tensors is. The first five are read as a module of that package
// (foreign.h), the others as an encoder of this library (mlpen.h, fairseq.h).
enum class ForeignFormat {
  kLucidrains,        // nystrom-attention: NystromAttention, Nystromformer
  kLinformer,         // linformer: LinformerSelfAttention, Linformer, LinformerLM
  kLinformerPytorch,  // linformer-pytorch: MHAttention, Linformer, LinformerLM
  kFairseqAttention,  // fairseq: MultiheadLinearAttention
  kTransmil,          // TransMIL
  kMlpen,             // mlpen/Nystromformer, and its Long Range Arena
  kFairseq,           // fairseq: linformer_roberta
};

// "nystrom-attention", as messages say it.
std::string in_words(ForeignFormat format);

// Without the names' first parts "module." and "model." where all have them: what wrappers add.
io::NamedTensors without_wrappers(io::NamedTensors tensors);

// Told by the names; without_wrappers() first. Empty: none of these.
std::optional<ForeignFormat> recognize(const io::NamedTensors& tensors);

// The options of the module whose state_dict this is: from names, shapes and, where these do not tell,
// the hints. Throws Error naming the hint that is missing or contradicts a shape. Not for kMlpen and
// kFairseq.
ForeignOptions infer_options(const io::NamedTensors& tensors, ForeignFormat format,
                             const ForeignHints& hints, const std::string& where);

// infer_options, make_foreign and load_tensors.
ForeignModel import_foreign(const io::NamedTensors& tensors, ForeignFormat format,
                            const ForeignHints& hints, const std::string& where);

}  // namespace lowrank::models
