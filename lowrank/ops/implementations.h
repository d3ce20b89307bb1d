// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "lowrank/ops/signatures.h"

// The implementations of each op, which dispatch.cpp lists on one page.
namespace lowrank {

struct Problem {
  c10::DeviceType device;
  c10::ScalarType dtype;
  int64_t columns;  // of the last dimension: the head size
};

// An op's forward and backward, chosen together: one may save what only the other understands.
template <class Forward, class Backward>
struct Implementation {
  const char* name;
  std::string (*refusal)(const Problem&);  // why it does not take the problem; empty: it does
  Forward* forward;
  Backward* backward;
  std::string (*variant)(const Problem&) = nullptr;  // which of several it would run, if there are
};

template <class Forward, class Backward>
using Implementations = std::vector<Implementation<Forward, Backward>>;  // in order of preference

using ExactImplementations =
    Implementations<signatures::ExactAttention, signatures::ExactAttentionBackward>;
using NystromImplementations =
    Implementations<signatures::NystromAttention, signatures::NystromAttentionBackward>;
using LinformerImplementations =
    Implementations<signatures::LinformerAttention, signatures::LinformerAttentionBackward>;
using ProjectImplementations =
    Implementations<signatures::ProjectSequences, signatures::ProjectSequencesBackward>;
using MeansImplementations =
    Implementations<signatures::SegmentMeans, signatures::SegmentMeansBackward>;
using InverseImplementations =
    Implementations<signatures::PseudoInverse, signatures::PseudoInverseBackward>;

const ExactImplementations& exact_implementations();
const NystromImplementations& nystrom_implementations();
const LinformerImplementations& linformer_implementations();
const ProjectImplementations& project_implementations();
const MeansImplementations& means_implementations();
const InverseImplementations& inverse_implementations();

// True when the environment says LOWRANK_REFERENCE=1.
bool reference_wanted();

// The first implementation that takes `x`. Each list ends in one that takes everything.
template <class Forward, class Backward>
const Implementation<Forward, Backward>& choose(const Implementations<Forward, Backward>& list,
                                                const at::Tensor& x) {
  const Problem problem{x.device().type(), x.scalar_type(), x.size(-1)};
  if (reference_wanted()) return list.back();
  for (const auto& implementation : list) {
    if (implementation.refusal(problem).empty()) return implementation;
  }
  return list.back();
}

}  // namespace lowrank
