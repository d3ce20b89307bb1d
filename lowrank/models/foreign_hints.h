// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "lowrank/base/config.h"

namespace lowrank::models {

// What neither names nor shapes of a checkpoint's tensors tell; which of these one needs depends on the
// package. An error names the one that is missing.
struct ForeignHints {
  std::optional<int64_t> heads = {};
  std::optional<int64_t> layers = {};          // mlpen, layers that share their weights
  std::optional<int64_t> landmarks = {};       // lucidrains; mlpen
  std::optional<int64_t> segment_length = {};  // mlpen: seq_len
  std::optional<int64_t> max_length = {};      // linformer-pytorch, method convolution
  std::optional<int64_t> inverse_steps = {};   // lucidrains; otherwise 6
  std::optional<std::string> attention = {};   // mlpen: softmax, nystrom or linformer
  std::optional<std::string> head = {};        // fairseq: one of several classification heads
  std::string activation = "gelu";             // linformer-pytorch, fairseq: or relu
  bool causal = false;                         // linformer-pytorch
  bool full_attention = false;                 // linformer-pytorch
  bool per_matrix_start = false;               // mlpen: inv_init_coeff_option
};

// Those of mlpen's config.json ({"model": {"num_head": ..., "num_landmarks": ..., "seq_len": ...}}).
// Throws Error for a mistyped key; others are not looked at.
ForeignHints read_mlpen_config(const Json& json, const std::string& where);

// The hint's value, or Error: "<where>: <name> is not in the tensors of <what>. Pass <name>."
int64_t required(const std::optional<int64_t>& hint, const char* name, const std::string& what,
                 const std::string& where);

}  // namespace lowrank::models
