// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lowrank/ops/signatures.h"

// The CPU implementations on our own kernels (kernels/cpu/table.h): float32 and bfloat16, a head
// size that is a multiple of 8. Nothing of size n x m or n x r is ever in memory; what a backward
// needs beyond the inputs it recomputes.
namespace lowrank::cpu {

using at::Tensor;

signatures::NystromAttention nystrom_attention;
signatures::NystromAttentionBackward nystrom_attention_backward;

signatures::LinformerAttention linformer_attention;
signatures::LinformerAttentionBackward linformer_attention_backward;

signatures::ProjectSequences project_sequences;
signatures::ProjectSequencesBackward project_sequences_backward;

}  // namespace lowrank::cpu
