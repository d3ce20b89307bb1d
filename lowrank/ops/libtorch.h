// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "lowrank/ops/signatures.h"

// The CPU implementations out of LibTorch's own products and softmaxes, one task for each head of
// each sequence (see tasks.h). Memory is linear in the length; what a backward needs beyond the
// inputs it recomputes.
namespace lowrank::libtorch {

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

}  // namespace lowrank::libtorch
