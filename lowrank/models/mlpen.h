// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lowrank/models/foreign_hints.h"
#include "lowrank/models/native_checkpoint.h"

namespace lowrank::models {

// Checkpoints of mlpen/Nystromformer: of code/ (pretraining, GLUE, question answering) and of
// LRA/code/ (Long Range Arena), with softmax, nystrom or linformer attention. `tensors` is the dict
// "model_state_dict" after without_wrappers(). p is "model.", or nothing for a bare encoder.
//
//   theirs                                     here
//   p embeddings.word_embeddings.weight        embeddings.tokens
//   p embeddings.position_embeddings.weight    embeddings.positions
//   p embeddings.token_type_embeddings.weight  embeddings.segments          code/
//   p embeddings.norm                          embeddings.norm              code/
//   p transformer_<i>.mha.W_q, W_k, W_v, ff    layers.<i>.attention.query, key, value, output
//   p transformer_<i>.mha.attn.conv.weight     layers.<i>.attention.filter  [h, 1, t, 1] to [h, t]
//   p transformer_<i>.mha.attn.E               layers.<i>.attention.e and f linformer
//   p transformer_<i>.norm1, norm2             layers.<i>.norm1, norm2
//   p transformer_<i>.ff1, ff2                 layers.<i>.expand, contract  code/
//   p transformer_<i>.mlpblock.0, mlpblock.3   layers.<i>.expand, contract  LRA
//   p norm                                     final_norm                   LRA
//   mlm.dense, mlm.norm, mlm.mlm_class.bias    dense, head_norm, output_bias
//   sen_classifer.dense, classifer             dense, classifier
//   qahead (two outputs)                       classifier
//
// With two outputs qahead is question answering, with one (WikiHop) it is left out, as is the
// benchmark's classifier, whose hidden layer has a width of its own: what remains is an encoder. A
// transformer.* without numbers serves hints.layers layers. Nystrom attention gets the profile mlpen,
// or none with `fixed`; softmax and linformer attention need none: they are the same function here.
//
// Hints: heads, where no convolution and no E tells; attention and, for nystrom, landmarks and
// segment_length. Throws Error that lists every missing and extra tensor, or names the missing hint.
NativeCheckpoint import_mlpen(const io::NamedTensors& tensors, const ForeignHints& hints,
                              bool fixed, const std::string& where);

}  // namespace lowrank::models
