// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "lowrank/ops/libtorch.h"

// The implementations of each op, which dispatch.cpp lists on one page.
namespace lowrank {

struct Problem {
  c10::DeviceType device;
  c10::ScalarType dtype;
};

// An op's forward and backward, chosen together: one may save what only the other understands.
template <class Forward, class Backward>
struct Implementation {
  const char* name;
  std::string (*refusal)(const Problem&);  // why it does not take the problem; empty: it does
  Forward* forward;
  Backward* backward;
};

template <class Forward, class Backward>
using Implementations = std::vector<Implementation<Forward, Backward>>;  // in order of preference

using ExactImplementations = Implementations<decltype(libtorch::exact_attention),
                                             decltype(libtorch::exact_attention_backward)>;
using NystromImplementations = Implementations<decltype(libtorch::nystrom_attention),
                                               decltype(libtorch::nystrom_attention_backward)>;
using LinformerImplementations = Implementations<decltype(libtorch::linformer_attention),
                                                 decltype(libtorch::linformer_attention_backward)>;
using ProjectImplementations = Implementations<decltype(libtorch::project_sequences),
                                               decltype(libtorch::project_sequences_backward)>;
using MeansImplementations =
    Implementations<decltype(libtorch::segment_means), decltype(libtorch::segment_means_backward)>;
using InverseImplementations = Implementations<decltype(libtorch::pseudo_inverse),
                                               decltype(libtorch::pseudo_inverse_backward)>;

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
  const Problem problem{x.device().type(), x.scalar_type()};
  if (reference_wanted()) return list.back();
  for (const auto& implementation : list) {
    if (implementation.refusal(problem).empty()) return implementation;
  }
  return list.back();
}

}  // namespace lowrank
