// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lowrank/ops/signatures.h"

// The plain formulas of reference.h, computed in float32 at least; the gradients by LibTorch's
// autograd. Any device, memory O(n m), or O(n^2) for exact attention.
namespace lowrank::fallback {

using at::Tensor;

signatures::ExactAttention exact_attention;
signatures::ExactAttentionBackward exact_attention_backward;

signatures::NystromAttention nystrom_attention;
signatures::NystromAttentionBackward nystrom_attention_backward;

signatures::LinformerAttention linformer_attention;
signatures::LinformerAttentionBackward linformer_attention_backward;

signatures::ProjectSequences project_sequences;
signatures::ProjectSequencesBackward project_sequences_backward;

signatures::SegmentMeans segment_means;
signatures::SegmentMeansBackward segment_means_backward;

signatures::PseudoInverse pseudo_inverse;
signatures::PseudoInverseBackward pseudo_inverse_backward;

}  // namespace lowrank::fallback
