// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "lowrank/models/foreign_hints.h"
#include "lowrank/models/native_checkpoint.h"

namespace lowrank::models {

// Checkpoints of fairseq's linformer_roberta (examples/linformer). `tensors` is the dict "model".
// p is "encoder.sentence_encoder." or, in older ones, "decoder.sentence_encoder.".
//
//   theirs                                       here
//   p embed_tokens.weight                        embeddings.tokens
//   p embed_positions.weight                     embeddings.positions    from row 2 on: padding is 1
//   p emb_layer_norm, layernorm_embedding        embeddings.norm
//   p layers.<i>.self_attn.{q,k,v,out}_proj      layers.<i>.attention.{query,key,value,output}
//   p layers.<i>.self_attn.compress_k.weight     layers.<i>.attention.e  shared_e: one for all layers
//   p layers.<i>.self_attn.compress_v.weight     layers.<i>.attention.f
//   p layers.<i>.self_attn_layer_norm            layers.<i>.norm1
//   p layers.<i>.fc1, fc2                        layers.<i>.expand, contract
//   p layers.<i>.final_layer_norm                layers.<i>.norm2
//   encoder.lm_head.dense, layer_norm            dense, head_norm
//   encoder.lm_head.weight, bias                 output_table, unless tied; output_bias
//   classification_heads.<head>.dense, out_proj  dense, classifier
//
// A classification head, where there is one, is the task; of several hints.head names one. The shared
// compression's bias, its copies, and versions hold nothing that is used. The profile is fairseq:
// (E X) W + b, where this library's own Linformer has E (X W + 1 b^T). `fixed` keeps that order, and with it the
// function of a sequence that is alone in its batch; what it leaves away is the padding.
//
// Hint: heads. Throws Error that lists every missing and extra tensor, or names the missing hint.
NativeCheckpoint import_fairseq(const io::NamedTensors& tensors, const ForeignHints& hints,
                                bool fixed, const std::string& where);

}  // namespace lowrank::models
