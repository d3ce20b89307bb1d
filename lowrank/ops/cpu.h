// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>

#include "lowrank/ops/signatures.h"

// The CPU implementations on our own kernels (kernels/cpu/table.h): float32 and bfloat16, a head
// size that is a multiple of 8. Nothing of size n x m or n x r is ever in memory; what a backward
// needs beyond the inputs it recomputes.
namespace lowrank::cpu {

using at::Tensor;

// A sequence of more keys than this goes to LibTorch's flash attention, which is then the faster:
// docs/benchmarks.md.
inline constexpr int64_t kFewKeys = 4096;
signatures::ExactAttention exact_attention;
signatures::ExactAttentionBackward exact_attention_backward;

signatures::NystromAttention nystrom_attention;
signatures::NystromAttentionBackward nystrom_attention_backward;

signatures::LinformerAttention linformer_attention;
signatures::LinformerAttentionBackward linformer_attention_backward;

signatures::ProjectSequences project_sequences;
signatures::ProjectSequencesBackward project_sequences_backward;

}  // namespace lowrank::cpu
