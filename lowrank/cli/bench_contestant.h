// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "lowrank/cli/bench_command.h"
#include "lowrank/models/config.h"

namespace lowrank::cli {

// One attention kind at one length, as `lowrank bench` races it.
struct Contestant {
  std::string kind;
  // Does the work once on inputs made before; gives back what it computed, its output first.
  std::function<std::vector<at::Tensor>()> run;
};

// The options of a kind, from its name ("nystrom-32": 32 landmarks; "linformer-128": 128 projected rows)
// and the flags; `longest`: the longest sequence that it will see, in rows.
AttentionKind kind_of(const BenchFlags& flags, const std::string& kind, int64_t longest);

// The model that `model` and `train` measure: of flags.model, or of the flags alone. Throws Misuse
// where it cannot be read.
models::ModelConfig model_of(const BenchFlags& flags);

// Kinds of one length share their inputs and the weights that they have in common. The filter of
// Nystrom attention is zero, so that its error is that of the approximation. `model` is read for
// "model" and "train" alone.
Contestant make_contestant(const BenchFlags& flags, const models::ModelConfig& model,
                           const std::string& kind, int64_t n);

}  // namespace lowrank::cli
